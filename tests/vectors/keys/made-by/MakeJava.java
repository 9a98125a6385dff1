// Writes the files of java/, with the JDK alone: java MakeJava.java FOLDER
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.Key;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.spec.ECGenParameterSpec;
import java.util.Base64;

public class MakeJava {
    static void write(Path file, String label, Key key) throws Exception {
        String body = Base64.getMimeEncoder(64, new byte[] {'\n'}).encodeToString(key.getEncoded());
        Files.writeString(file, "-----BEGIN " + label + "-----\n" + body + "\n-----END " + label + "-----\n");
    }

    static void writePair(Path folder, String type, KeyPair pair) throws Exception {
        write(folder.resolve(type + ".pkcs8.pem"), "PRIVATE KEY", pair.getPrivate());
        write(folder.resolve(type + ".public.pem"), "PUBLIC KEY", pair.getPublic());
    }

    public static void main(String[] arguments) throws Exception {
        Path folder = Files.createDirectories(Path.of(arguments[0], "java"));
        String[][] curves = {{"EC_P256", "secp256r1"}, {"EC_P384", "secp384r1"}, {"EC_P521", "secp521r1"}};
        for (String[] curve : curves) {
            KeyPairGenerator generator = KeyPairGenerator.getInstance("EC");
            generator.initialize(new ECGenParameterSpec(curve[1]));
            writePair(folder, curve[0], generator.generateKeyPair());
        }
        KeyPairGenerator rsa = KeyPairGenerator.getInstance("RSA");
        rsa.initialize(2048);
        writePair(folder, "RSA", rsa.generateKeyPair());
        writePair(folder, "Curve25519", KeyPairGenerator.getInstance("Ed25519").generateKeyPair());
    }
}
