#!/usr/bin/env bash
# Writes the files of openssl/, and those of refused/ that openssl makes. Takes the folder to write to.
set -euo pipefail
out=$1
mkdir -p "$out/openssl" "$out/refused"
cd "$out/openssl"

ec_forms() { # type, curve
    openssl ecparam -name "$2" -genkey -out "$1.sec1-with-parameters.pem"
    local key=$1.sec1-with-parameters.pem
    openssl ec -in "$key" -out "$1.sec1.pem"
    openssl ec -in "$key" -no_public -out "$1.sec1-without-public-key.pem"
    openssl ec -in "$key" -conv_form compressed -out "$1.sec1-compressed.pem"
    openssl ec -in "$key" -param_enc explicit -out "$1.sec1-explicit.pem"
    openssl pkcs8 -topk8 -nocrypt -in "$key" -out "$1.pkcs8.pem"
    openssl pkcs8 -topk8 -nocrypt -in "$1.sec1-explicit.pem" -out "$1.pkcs8-explicit.pem"
    openssl pkcs8 -topk8 -nocrypt -in "$1.sec1-compressed.pem" -out "$1.pkcs8-compressed.pem"
    openssl ec -in "$1.sec1-explicit.pem" -conv_form compressed -out "$1.sec1-explicit-compressed.pem"
    openssl pkey -in "$key" -pubout -out "$1.public.pem"
}

ec_forms EC_P256 prime256v1
ec_forms EC_P384 secp384r1
ec_forms EC_P521 secp521r1
ec_forms EC_P256K1 secp256k1
ec_forms BrainpoolP256 brainpoolP256r1
ec_forms BrainpoolP384 brainpoolP384r1
ec_forms BrainpoolP512 brainpoolP512r1

openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out RSA.pkcs8.pem
openssl rsa -in RSA.pkcs8.pem -traditional -out RSA.pkcs1.pem
openssl pkey -in RSA.pkcs8.pem -text -out RSA.pkcs8-with-text.pem
openssl pkey -in RSA.pkcs8.pem -pubout -out RSA.public.pem

openssl genpkey -algorithm ED25519 -out Curve25519.pkcs8.pem
openssl pkey -in Curve25519.pkcs8.pem -pubout -out Curve25519.public.pem
for type in Ed448 X25519 X448; do
    openssl genpkey -algorithm "${type^^}" -out "$type.pkcs8.pem"
    openssl pkey -in "$type.pkcs8.pem" -pubout -out "$type.public.pem"
done

# Line ends as Windows has them, and no end of the last line.
sed 's/$/\r/' EC_P256.pkcs8.pem > EC_P256.pkcs8-crlf.pem
sed 's/$/\r/' RSA.pkcs1.pem > RSA.pkcs1-crlf.pem
printf %s "$(cat EC_P256.sec1.pem)" > EC_P256.sec1-without-last-newline.pem
printf %s "$(cat Curve25519.pkcs8.pem)" > Curve25519.pkcs8-without-last-newline.pem

# The key of a PKCS #12 file, with its attributes as text and its certificate.
openssl req -x509 -key EC_P256.pkcs8.pem -subj /CN=worthless -days 36500 -out ../refused/certificate.pem
openssl pkcs12 -export -inkey EC_P256.pkcs8.pem -in ../refused/certificate.pem -passout pass:worthless \
    -name worthless -out ../refused/pkcs12.p12
openssl pkcs12 -in ../refused/pkcs12.p12 -passin pass:worthless -nodes -out EC_P256.pkcs12-as-pem.pem

cd ../refused
openssl pkcs8 -topk8 -in ../openssl/EC_P256.pkcs8.pem -passout pass:worthless -out encrypted-pkcs8.pem
openssl ec -in ../openssl/EC_P256.pkcs8.pem -aes256 -passout pass:worthless -out encrypted-sec1.pem
openssl rsa -in ../openssl/RSA.pkcs8.pem -traditional -aes256 -passout pass:worthless -out encrypted-pkcs1.pem
openssl dsaparam -genkey -noout -out dsa.pem 1024
openssl pkcs8 -topk8 -nocrypt -in dsa.pem -out dsa-pkcs8.pem
openssl genpkey -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048 -out rsa-pss.pem
openssl ecparam -name secp224r1 -genkey -noout -out secp224r1.pem
openssl ecparam -name secp224r1 -genkey -noout -param_enc explicit -out secp224r1-explicit.pem
openssl genpkey -algorithm SM2 -out sm2.pem
openssl genrsa -primes 3 2048 | openssl rsa -traditional -out rsa-three-primes.pem
openssl pkey -in ../openssl/EC_P256.pkcs8.pem -outform DER -out pkcs8.der
openssl rsa -in ../openssl/RSA.pkcs8.pem -pubout -out public-key.pem
openssl rsa -in ../openssl/RSA.pkcs8.pem -RSAPublicKey_out -out rsa-public-key.pem
openssl req -new -key ../openssl/EC_P256.pkcs8.pem -subj /CN=worthless -out request.pem
cat ../openssl/EC_P256.sec1.pem ../openssl/EC_P384.sec1.pem > two-keys.pem
openssl ecparam -name prime256v1 -out parameters-alone.pem
for bits in "RSA EC_P256.pkcs8" "EC EC_P256.pkcs8" "EC RSA.pkcs1"; do
    read -r label file <<< "$bits"
    sed -E "s/(BEGIN|END) ([A-Z]+ )?PRIVATE KEY/\1 $label PRIVATE KEY/" "../openssl/$file.pem" \
        > "$file-labelled-$label.pem"
done
