#!/usr/bin/env bash
# mkimage of U-Boot takes a PKCS#11 URI only without its scheme.
#
# To sign a FIT image with a key in an HSM, mkimage gets `-N pkcs11` and, in place of the folder of keys (-k), a PKCS#11 URI (RFC 7512). Other tools
# take all of it. mkimage puts `pkcs11:` before what it gets, and `;object=` with the image's key-name-hint behind it. So `-k token=x` is
# what signs, and a URI that was copied from elsewhere is not found.
#
# Seen with u-boot-tools 2023.01, libp11 0.4.12 and SoftHSM 2.6.1 of Debian 12 on 2026-12-01.
set -euo pipefail
command -v mkimage dumpimage dtc softhsm2-util pkcs11-tool >/dev/null || {
    echo "u-boot-tools, device-tree-compiler, softhsm2, opensc and libengine-pkcs11-openssl are needed"
    exit 1
}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
dpkg-query --show u-boot-tools libengine-pkcs11-openssl softhsm2
mkdir tokens
echo "directories.tokendir = $folder/tokens" >softhsm2.conf
export SOFTHSM2_CONF=$folder/softhsm2.conf MKIMAGE_SIGN_PIN=1234
PKCS11_MODULE_PATH=$(find /usr/lib -name libsofthsm2.so | head -n 1)
export PKCS11_MODULE_PATH
{
    softhsm2-util --init-token --free --label x --pin 1234 --so-pin 12345678
    pkcs11-tool --module "$PKCS11_MODULE_PATH" --token-label x --login --pin 1234 --keypairgen --key-type RSA:2048 --label images --id 01
} >log 2>&1
echo content >content
cat >image.its <<'SOURCE'
/dts-v1/;
/ {
    description = "an image";
    #address-cells = <1>;
    images {
        kernel { data = /incbin/("content"); type = "kernel"; arch = "arm64"; os = "linux"; compression = "none"; load = <0>; entry = <0>; hash { algo = "sha256"; }; };
    };
    configurations {
        default = "only";
        only { kernel = "kernel"; signature { algo = "sha256,rsa2048"; key-name-hint = "images"; sign-images = "kernel"; }; };
    };
};
SOURCE
echo '/dts-v1/; / { };' | dtc -O dtb -o public.dtb -

mkimage -f image.its -k token=x -N pkcs11 -K public.dtb -r image.itb >log 2>&1
dumpimage -l image.itb >image
grep 'Sign value: *[0-9a-f]\{512\}' image
