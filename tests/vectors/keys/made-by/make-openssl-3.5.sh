#!/usr/bin/env bash
# Writes the keys that need OpenSSL 3.5: make-openssl-3.5.sh FOLDER
set -euo pipefail
folder=$1/openssl-3.5 refused=$1/refused
mkdir -p "$folder" "$refused"

public() {
    openssl pkey -in "$folder/$1" -pubout -out "$folder/$2.public.pem"
}

for size in 44 65 87; do
    name=ML_DSA_$size
    openssl genpkey -algorithm "ML-DSA-$size" -out "$folder/$name.both.pem" # As it does by default.
    openssl pkey -in "$folder/$name.both.pem" -provparam ml-dsa.output_formats=seed-only -out "$folder/$name.seed.pem"
    public "$name.both.pem" "$name"
    openssl genpkey -algorithm "ML-DSA-$size" -provparam ml-dsa.output_formats=priv-only -out "$refused/$name.expanded.pem"
done
