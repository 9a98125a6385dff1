#!/usr/bin/env bash
# p11-kit reads the module files of a user, but not when that user is root, and says nothing.
#
# pkcs11.conf(5) has modules in ~/.config/pkcs11/modules (or below $XDG_CONFIG_HOME), merged with those of the system by default. In a
# process whose user ID is 0, p11-kit skips them without a message; only P11_KIT_DEBUG=conf shows it. A token that p11tool and OpenSSL's
# engine find in a shell is missing in a container, a build or a service that runs as root. A user namespace in which the same user has
# another ID is enough to see the files again. For root they have to be in /etc/pkcs11/modules.
#
# Seen with p11-kit 0.24.1 of Debian 12 on 2026-11-28. It needs root, and the packages p11-kit and p11-kit-modules.
set -euo pipefail
[ "$(id -u)" = 0 ] || { echo "run it as root"; exit 1; }
command -v p11-kit >/dev/null || DEBIAN_FRONTEND=noninteractive apt-get install --yes -qq --no-install-recommends p11-kit p11-kit-modules >/dev/null
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

dpkg-query --show p11-kit
export XDG_CONFIG_HOME=$folder
mkdir -p "$folder/pkcs11/modules"
echo "module: /usr/lib/$(uname -m)-linux-gnu/pkcs11/p11-kit-client.so" > "$folder/pkcs11/modules/mine.module"

shows() { "$@" p11-kit list-modules 2>&1 | grep -c '^mine:' || :; }
{
    echo "as root: $(shows env)"
    echo "as another user, with the same files: $(shows unshare --user --map-user=1000 --map-group=1000)"
} | tee "$folder/seen"
P11_KIT_DEBUG=conf p11-kit list-modules 2>&1 | grep -o 'skipping user config.*' | head -1 | tee -a "$folder/seen"
diff - "$folder/seen" <<'EXPECTED'
as root: 0
as another user, with the same files: 1
skipping user config in program running as root
EXPECTED
