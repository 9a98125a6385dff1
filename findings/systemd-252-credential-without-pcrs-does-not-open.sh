#!/usr/bin/env bash
# systemd-creds 252 seals a credential without PCRs, and then does not open it.
#
# systemd-creds(1) says that --tpm2-pcrs= with nothing after it binds a credential to no PCR. Of systemd 252, `encrypt` with it ends
# with 0, and what it wrote cannot be opened by anyone: `decrypt`, and LoadCredentialEncrypted= of a unit, end with
# "TPM2 PCR bank invalid or not supported". With --tpm2-pcrs=7 the same credential opens. So keep the secret until the credential
# was opened once; to be free of PCRs, seal with --with-key=host.
#
# Seen with systemd 252.39 (Debian 12) and swtpm 0.7.1 on 2026-11-28.
set -euo pipefail
command -v systemd-creds swtpm >/dev/null && ls /usr/lib/*/libtss2-tcti-swtpm.so.0 /usr/lib/*/libtss2-rc.so.0 >/dev/null || {
    echo "systemd, swtpm, libtss2-rc0 and libtss2-tcti-swtpm0 are needed"
    exit 1
}
folder=$(mktemp -d)
trap 'kill "$(cat "$folder/pid")"; rm -rf "$folder"' EXIT
cd "$folder"
dpkg-query --show systemd swtpm
port=22321
swtpm socket --tpm2 --tpmstate dir=. --server type=tcp,port=$port --ctrl type=tcp,port=$((port + 1)) \
    --flags not-need-init,startup-clear --daemon --pid "file=$folder/pid"
export SYSTEMD_TPM2_DEVICE=swtpm:host=127.0.0.1,port=$port

opens() {
    echo secret | systemd-creds encrypt --with-key=tpm2 --tpm2-pcrs="$1" --name=it - sealed 2>>log
    if opened=$(systemd-creds decrypt --name=it sealed - 2>refusal) && [ "$opened" = secret ]; then
        echo yes
    else
        tail -1 refusal
    fi
}
with=$(opens 7) without=$(opens '')
echo "with PCR 7: $with"
echo "without PCRs: $without"
[ "$with" = yes ] && [ "$without" = "TPM2 PCR bank invalid or not supported" ]
