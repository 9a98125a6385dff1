#!/usr/bin/env bash
# GnuPG reads armor without a checksum only where the base64 happens to end in padding.
#
# RFC 9580 (section 6.1) says that the CRC24 at the end of OpenPGP's armor should not be generated, and that a missing or
# wrong checksum must not make a reader reject the data. GnuPG 2.2 takes the "=" of padding or of the checksum for the end of
# the base64. A signature of a length that 3 divides has no padding: without its checksum, the line "-----END PGP SIGNATURE-----"
# is read as base64, gpgv says "invalid radix64 character" and fails, though it has found the signature to be good. Whether a
# program that leaves the checksum out works depends on the lengths of its signatures: RSA-2048 may work where Ed25519 does not.
#
# Seen with gpg and gpgv 2.2.40 of Debian 12 on 2026-11-28.
set -euo pipefail
command -v gpg gpgv >/dev/null || { echo "gpg and gpgv are needed"; exit 1; }
folder=$(mktemp -d)
export GNUPGHOME=$folder/home
trap 'gpgconf --kill all; rm -rf "$folder"' EXIT
mkdir -m 700 "$GNUPGHOME"
cd "$folder"

gpgv --version | head -1
gpg -q --batch --passphrase '' --quick-gen-key archive@example.com ed25519 sign never 2>gpg.log
gpg --export > keys.gpg
echo text > text

# Notations of growing length make signatures of each length modulo 3.
for more in a ab abc; do
    gpg -q --batch --yes --armor --sig-notation more@example.com=$more -o with.asc --detach-sign text
    sed '/^=....$/d' with.asc > without.asc
    padding=$(tail -2 without.asc | head -1 | tr -cd '=')
    gpgv --keyring ./keys.gpg with.asc text 2>/dev/null && with=accepted || with=refused
    gpgv --keyring ./keys.gpg without.asc text 2>said && without=accepted || without=refused
    good=$(grep -c 'Good signature' said || :)
    echo "padding '$padding': with checksum $with, without $without, good signatures seen: $good"
done | sort | tee seen
diff - seen <<'EXPECTED'
padding '': with checksum accepted, without refused, good signatures seen: 1
padding '=': with checksum accepted, without accepted, good signatures seen: 1
padding '==': with checksum accepted, without accepted, good signatures seen: 1
EXPECTED
