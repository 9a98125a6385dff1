#!/usr/bin/env bash
# Writes the files of gnutls/, botan/ and ssh-keygen/, and openssh-*.pem of refused/. Takes the folder to write to.
set -euo pipefail
out=$1
mkdir -p "$out/gnutls" "$out/botan" "$out/ssh-keygen" "$out/refused"

public() { openssl pkey -in "$1" -pubout -out "$2"; }

cd "$out/gnutls"
for one in "EC_P256 ecdsa secp256r1" "EC_P384 ecdsa secp384r1" "EC_P521 ecdsa secp521r1"; do
    read -r type kind curve <<< "$one"
    certtool --generate-privkey --key-type "$kind" --curve "$curve" --outfile "$type.sec1.pem"
    certtool --to-p8 --password= --load-privkey "$type.sec1.pem" --outfile "$type.pkcs8.pem"
    public "$type.sec1.pem" "$type.public.pem"
done
certtool --generate-privkey --key-type rsa --bits 2048 --outfile RSA.pkcs1.pem
certtool --to-p8 --password= --load-privkey RSA.pkcs1.pem --outfile RSA.pkcs8.pem
public RSA.pkcs8.pem RSA.public.pem
certtool --generate-privkey --key-type ed25519 --outfile Curve25519.pkcs8.pem
public Curve25519.pkcs8.pem Curve25519.public.pem

cd "$out/botan"
for one in "EC_P256 secp256r1" "EC_P384 secp384r1" "EC_P521 secp521r1" "EC_P256K1 secp256k1" \
    "BrainpoolP256 brainpool256r1" "BrainpoolP384 brainpool384r1" "BrainpoolP512 brainpool512r1"; do
    read -r type curve <<< "$one"
    botan keygen --algo=ECDSA --params="$curve" > "$type.pkcs8.pem"
    botan pkcs8 --pub-out "$type.pkcs8.pem" > "$type.public.pem"
done
botan keygen --algo=RSA --params=2048 > RSA.pkcs8.pem
botan pkcs8 --pub-out RSA.pkcs8.pem > RSA.public.pem
botan keygen --algo=Ed25519 > Curve25519.pkcs8.pem
botan pkcs8 --pub-out Curve25519.pkcs8.pem > Curve25519.public.pem

cd "$out/ssh-keygen"
for one in "RSA rsa 2048 pkcs1" "EC_P256 ecdsa 256 sec1" "EC_P384 ecdsa 384 sec1" "EC_P521 ecdsa 521 sec1"; do
    read -r type kind bits form <<< "$one"
    ssh-keygen -q -t "$kind" -b "$bits" -m PEM -N "" -C worthless -f "$type.$form.pem"
    cp "$type.$form.pem" "$type.pkcs8.pem"
    chmod 600 "$type.pkcs8.pem"
    ssh-keygen -q -p -m PKCS8 -P "" -N "" -f "$type.pkcs8.pem"
    public "$type.pkcs8.pem" "$type.public.pem"
done
rm -f ./*.pub
ssh-keygen -q -t ed25519 -m PKCS8 -N "" -C worthless -f "$out/refused/openssh-ed25519.pem"
ssh-keygen -q -t ecdsa -N "" -C worthless -f "$out/refused/openssh-ecdsa.pem"
rm -f "$out"/refused/*.pub
chmod 644 ./*.pem "$out"/refused/*.pem
