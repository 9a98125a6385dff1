#!/usr/bin/env bash
# nitropy wants a length for an EC key of a NetHSM, and refuses one for an EC key of its TLS interface.
#
# A length says something of RSA and generic keys alone; the curve is in the key's type. `nitropy nethsm generate-key`
# asks for it all the same, before it connects, so a script that leaves it out ends with "Length: Aborted!" where no one
# answers. `nitropy nethsm generate-tls-key` with the same type asks for none, and ends with an error if one is given.
#
# Seen with pynitrokey 0.14.1 from PyPI on 2026-11-28. No device and no server is needed: what gets past its options
# tries to connect to a port where nothing listens.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export HOME="$folder" TMPDIR="$folder" ALLOW_ROOT=1

python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check -q install pynitrokey==0.14.1
"$folder/venv/bin/pip" list 2> /dev/null | grep -E '^(pynitrokey|nethsm) '

nitropy() {
    echo "$*: $("$folder/venv/bin/nitropy" nethsm --host 127.0.0.1:1 --username admin --password passphrase "$@" \
        < /dev/null 2>&1 | grep -oE 'Length: Aborted!|-l/--length may only .*|Could not connect' || true)"
}

{
    nitropy generate-key -t EC_P256 -m ECDSA_Signature
    nitropy generate-key -t EC_P256 -m ECDSA_Signature -l 256
    nitropy generate-tls-key -t EC_P256
    nitropy generate-tls-key -t EC_P256 -l 256
} | tee "$folder/seen"
diff - "$folder/seen" <<'EXPECTED'
generate-key -t EC_P256 -m ECDSA_Signature: Length: Aborted!
generate-key -t EC_P256 -m ECDSA_Signature -l 256: Could not connect
generate-tls-key -t EC_P256: Could not connect
generate-tls-key -t EC_P256 -l 256: -l/--length may only be set for RSA keys
EXPECTED
echo "as described"
