#!/usr/bin/env bash
# OpenDNSSEC's test of an HSM says nothing of ECDSA, and leaves a P-256 and a P-384 key in the token each time.
#
# `ods-hsmutil test REPOSITORY` makes a key of each type, signs with it, prints "OK" or "Failed", and deletes the key. For ECDSA it prints
# "Signing (ECDSA/SHA256) with key... " and nothing after it: neither whether the signature was good, nor "Deleting key... OK", which
# RSA and Ed25519 have. Both keys are still there when it ends. So whoever runs the test in production, as a check or by
# a timer, fills the HSM with keys that nobody uses: remove what `ods-hsmutil list` shows besides your own.
#
# Seen with OpenDNSSEC 2.1.12 and SoftHSM 2.6.1 of Debian 12 on 2026-12-01.
set -euo pipefail
command -v ods-hsmutil softhsm2-util >/dev/null || {
    echo "libhsm-bin and softhsm2 are needed"
    exit 1
}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
dpkg-query --show libhsm-bin softhsm2
mkdir tokens
echo "directories.tokendir = $folder/tokens" >softhsm2.conf
export SOFTHSM2_CONF=$folder/softhsm2.conf
softhsm2-util --init-token --free --label token --pin 1234 --so-pin 12345678 >log
module=$(find /usr/lib -name libsofthsm2.so | head -n 1)
cat >conf.xml <<XML
<?xml version="1.0" encoding="UTF-8"?>
<Configuration>
  <RepositoryList><Repository name="hsm"><Module>$module</Module><TokenLabel>token</TokenLabel><PIN>1234</PIN></Repository></RepositoryList>
  <Common><Logging><Syslog><Facility>local0</Facility></Syslog></Logging><PolicyFile>/none</PolicyFile><ZoneListFile>/none</ZoneListFile></Common>
  <Enforcer><Datastore><SQLite>/none</SQLite></Datastore></Enforcer>
</Configuration>
XML
kept() { ods-hsmutil -c conf.xml list 2>/dev/null | awk '/^hsm/ { print $3 }' | sort; }

[ -z "$(kept)" ]
ods-hsmutil -c conf.xml test hsm >test.log 2>&1 || :  # Its status counts kinds of keys that SoftHSM2 does not have.
sed -n '/2048-bit RSA/,/Deleting/p; /ECDSA/p; /ED25519/,/Deleting/p' test.log
kept | tee after
diff after - <<'EXPECTED'
ECDSA/256
ECDSA/384
EXPECTED
grep -q 'Signing (RSA/SHA256) with key... OK' test.log
if grep 'Signing (ECDSA/SHA[0-9]*) with key... \(OK\|Failed\)' test.log; then exit 1; fi
ods-hsmutil -c conf.xml test hsm >test.log 2>&1 || :
echo "after a second test: $(kept | wc -l) keys"
[ "$(kept | wc -l)" = 4 ]
