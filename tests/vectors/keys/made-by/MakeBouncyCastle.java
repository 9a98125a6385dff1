// Writes the files of bouncycastle/, with bcprov, bcutil and bcpkix on the class path:
// java -cp 'JARS/*' MakeBouncyCastle.java FOLDER
import java.io.FileWriter;
import java.io.Writer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyFactory;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.Security;
import org.bouncycastle.asn1.ASN1EncodableVector;
import org.bouncycastle.asn1.DERBMPString;
import org.bouncycastle.asn1.DERSequence;
import org.bouncycastle.asn1.DERSet;
import org.bouncycastle.asn1.pkcs.PKCSObjectIdentifiers;
import org.bouncycastle.asn1.pkcs.PrivateKeyInfo;
import org.bouncycastle.jce.ECNamedCurveTable;
import org.bouncycastle.jce.interfaces.ECPublicKey;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.bouncycastle.jce.spec.ECParameterSpec;
import org.bouncycastle.jce.spec.ECPublicKeySpec;
import org.bouncycastle.openssl.jcajce.JcaPEMWriter;
import org.bouncycastle.util.io.pem.PemObject;

public class MakeBouncyCastle {
    static Path folder;

    static void write(String name, Object content) throws Exception {
        try (Writer file = new FileWriter(folder.resolve(name + ".pem").toFile());
                JcaPEMWriter writer = new JcaPEMWriter(file)) {
            writer.writeObject(content);
        }
    }

    static void writePkcs8(String name, KeyPair pair) throws Exception {
        write(name, new PemObject("PRIVATE KEY", pair.getPrivate().getEncoded()));
    }

    /** PKCS #8 with a friendlyName (RFC 2985) among its attributes. */
    static void writeWithAttributes(String name, KeyPair pair) throws Exception {
        PrivateKeyInfo plain = PrivateKeyInfo.getInstance(pair.getPrivate().getEncoded());
        ASN1EncodableVector attribute = new ASN1EncodableVector();
        attribute.add(PKCSObjectIdentifiers.pkcs_9_at_friendlyName);
        attribute.add(new DERSet(new DERBMPString("worthless")));
        byte[] publicKey = plain.hasPublicKey() ? plain.getPublicKeyData().getBytes() : null;
        PrivateKeyInfo full = new PrivateKeyInfo(plain.getPrivateKeyAlgorithm(), plain.parsePrivateKey(),
            new DERSet(new DERSequence(attribute)), publicKey);
        write(name, new PemObject("PRIVATE KEY", full.getEncoded()));
    }

    static KeyPairGenerator generator(String algorithm) throws Exception {
        return KeyPairGenerator.getInstance(algorithm, "BC");
    }

    public static void main(String[] arguments) throws Exception {
        folder = Files.createDirectories(Path.of(arguments[0], "bouncycastle"));
        Security.addProvider(new BouncyCastleProvider());
        String[][] curves = {
            {"EC_P256", "secp256r1"}, {"EC_P384", "secp384r1"}, {"EC_P521", "secp521r1"},
            {"EC_P256K1", "secp256k1"}, {"BrainpoolP256", "brainpoolP256r1"},
            {"BrainpoolP384", "brainpoolP384r1"}, {"BrainpoolP512", "brainpoolP512r1"}};
        for (String[] curve : curves) {
            ECParameterSpec named = ECNamedCurveTable.getParameterSpec(curve[1]);
            KeyPairGenerator generator = generator("EC");
            generator.initialize(named);
            KeyPair pair = generator.generateKeyPair();
            write(curve[0] + ".sec1", pair.getPrivate());
            writePkcs8(curve[0] + ".pkcs8", pair);
            writeWithAttributes(curve[0] + ".pkcs8-with-attributes", pair);
            write(curve[0] + ".public", pair.getPublic());
            // The same curve without its name.
            generator.initialize(new ECParameterSpec(named.getCurve(), named.getG(), named.getN(), named.getH()));
            KeyPair unnamed = generator.generateKeyPair();
            write(curve[0] + "-unnamed.sec1", unnamed.getPrivate());
            writePkcs8(curve[0] + "-unnamed.pkcs8", unnamed);
            ECPublicKey point = (ECPublicKey) unnamed.getPublic();
            write(curve[0] + "-unnamed.public", KeyFactory.getInstance("EC", "BC")
                .generatePublic(new ECPublicKeySpec(point.getQ(), named)));
        }
        KeyPairGenerator rsa = generator("RSA");
        rsa.initialize(2048);
        KeyPair pair = rsa.generateKeyPair();
        write("RSA.pkcs1", pair.getPrivate());
        writePkcs8("RSA.pkcs8", pair);
        writeWithAttributes("RSA.pkcs8-with-attributes", pair);
        write("RSA.public", pair.getPublic());
        KeyPair edwards = generator("Ed25519").generateKeyPair();
        write("Curve25519.pem-writer", edwards.getPrivate());
        writePkcs8("Curve25519.pkcs8", edwards);
        writeWithAttributes("Curve25519.pkcs8-with-attributes", edwards);
        write("Curve25519.public", edwards.getPublic());
    }
}
