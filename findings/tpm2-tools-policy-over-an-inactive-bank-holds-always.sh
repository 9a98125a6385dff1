#!/usr/bin/env bash
# tpm2_createpolicy makes a policy over PCRs of a bank that the TPM does not keep, says nothing, and the policy holds whatever boots.
#
# A TPM leaves the registers of inactive banks out of what it compares (TPM 2.0 Library, part 3, TPM2_PolicyPCR), and the firmware's
# settings decide which banks are active: today often SHA-256 alone. tpm2_createpolicy then makes the policy over nothing, with exit
# status 0. What is sealed with `-l sha1:7`, as many guides have it, opens after every change of PCR 7. So compare the bank with
# `tpm2_getcap pcrs` before sealing; tpm2_pcrread of such a bank shows an empty list and ends with 0 as well.
#
# Seen with tpm2-tools 5.4 and swtpm 0.7.1 of Debian 12 on 2026-11-29.
set -euo pipefail
command -v swtpm tpm2_createpolicy >/dev/null && ls /usr/lib/*/libtss2-tcti-swtpm.so.0 >/dev/null || {
    echo "swtpm, tpm2-tools and libtss2-tcti-swtpm0 are needed"
    exit 1
}
folder=$(mktemp -d)
stop() { kill "$(cat "$folder/pid")" && while [ -e "$folder/pid" ]; do sleep 0.1; done; }
trap 'stop; rm -rf "$folder"' EXIT
cd "$folder"
dpkg-query --show swtpm tpm2-tools
port=22341
export TPM2TOOLS_TCTI=swtpm:host=127.0.0.1,port=$port
start() {
    swtpm socket --tpm2 --tpmstate "dir=$folder" --server type=tcp,port=$port --ctrl type=tcp,port=$((port + 1)) \
        --flags not-need-init,startup-clear --daemon --pid "file=$folder/pid"
}

start
tpm2_pcrallocate sha1:none+sha256:all+sha384:none+sha512:none >/dev/null # as firmware does
tpm2_shutdown --clear
stop
start
tpm2_getcap pcrs

opens() { # after the register has changed
    echo secret >plain
    tpm2_createpolicy --policy-pcr --pcr-list "$1" --policy policy >/dev/null
    tpm2_createprimary --quiet --key-context primary
    tpm2_create --quiet --parent-context primary --sealing-input plain --policy policy --public public --private private
    tpm2_flushcontext --transient-object
    tpm2_load --quiet --parent-context primary --public public --private private --key-context sealed
    tpm2_pcrextend "7:sha256=$(echo another boot | sha256sum | cut -d' ' -f1)"
    if [ "$(tpm2_unseal --object-context sealed --auth "pcr:$1" 2>log)" = secret ]; then echo yes; else echo no; fi
    tpm2_flushcontext --transient-object
}
active=$(opens sha256:7) inactive=$(opens sha1:7)
echo "opens after a change of PCR 7? sealed to sha256:7: $active; sealed to sha1:7: $inactive"
[ "$active" = no ] && [ "$inactive" = yes ]
