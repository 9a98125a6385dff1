#!/usr/bin/env bash
# objcopy writes the time of the build into the header of a PE file, unless it is told to preserve dates.
#
# A unified kernel image is made by adding sections to an EFI stub with objcopy. The output's TimeDateStamp (PE header, 8 bytes after
# "PE\0\0") is the time at which objcopy runs, not the stub's, so two builds of the same parts differ. SOURCE_DATE_EPOCH and
# --enable-deterministic-archives change nothing. --preserve-dates does, although binutils' documentation says of it only that the
# output file gets the access and modification times of the input: with it the field is a copy of the stub's.
#
# Seen with GNU binutils 2.40 and the stub of systemd-boot-efi 252.39 (Debian 12) on 2026-11-28.
set -euo pipefail
command -v objcopy apt-get dpkg-deb >/dev/null || {
    echo "binutils and apt are needed"
    exit 1
}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get -qq -o APT::Sandbox::User=root download systemd-boot-efi
dpkg-deb --extract systemd-boot-efi_*.deb .
objcopy --version | head -1
ls systemd-boot-efi_*.deb
stub=usr/lib/systemd/boot/efi/linuxx64.efi.stub
echo 'NAME=example' >os-release

stamp_of() {
    python3 -c 'import struct, sys
data = open(sys.argv[1], "rb").read()
header = struct.unpack_from("<I", data, 0x3C)[0]
print(struct.unpack_from("<I", data, header + 8)[0])' "$1"
}
made() {
    SOURCE_DATE_EPOCH=1000000000 objcopy "$@" --add-section .osrel=os-release --change-section-vma .osrel=0x20000 $stub made.efi
    stamp_of made.efi
}
of_stub=$(stamp_of $stub)
began=$(date +%s)
plain=$(made --enable-deterministic-archives)
preserved=$(made --preserve-dates)
echo "time in the stub: $of_stub; in the output: $plain; with --preserve-dates: $preserved; now: $began"
[ "$plain" -ge "$began" ] && [ "$preserved" = "$of_stub" ] && [ "$of_stub" -lt "$began" ]
