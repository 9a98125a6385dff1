#!/usr/bin/env bash
# OVMF waits 1.5 seconds for a TPM at each start of a virtual machine that has none, and keeps a processor busy meanwhile.
#
# The firmware tells from the TPM's access register at 0xFED40000 whether there is a TPM: 0xFF means that there is none, as an empty bus
# answers. QEMU answers 0 where no device is. So the firmware takes it that there is a TPM, asks for it and polls every 30 microseconds for
# 0.75 seconds (TIMEOUT_A of the TPM interface specification), once for a TPM 1.2 and once for a TPM 2.0: 50,000 reads. It is a third of
# the time that OVMF takes under emulation, and passes with hardware virtualization too. A machine with a TPM does not wait.
#
# Seen with QEMU 7.2.22 and ovmf 2022.11 of Debian 12 on 2026-11-30. It needs the packages qemu-system-x86 and ovmf.
set -euo pipefail
code=/usr/share/OVMF/OVMF_CODE_4M.fd variables=/usr/share/OVMF/OVMF_VARS_4M.fd
command -v qemu-system-x86_64 >/dev/null && [ -e $code ] || {
    echo "qemu-system-x86 and ovmf are needed"
    exit 1
}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
qemu-system-x86_64 --version | head -1
dpkg-query --show ovmf
cp $variables "$folder/variables"
# Without a disk, the firmware ends in its shell, and the machine goes on until it is stopped.
timeout 30 qemu-system-x86_64 -machine q35 -m 256 -nodefaults -display none -d guest_errors -D "$folder/log" \
    -drive if=pflash,unit=0,format=raw,readonly=on,file=$code -drive "if=pflash,unit=1,format=raw,file=$folder/variables" || [ $? = 124 ]
reads=$(grep -c 'Invalid read at addr 0xFED40000' "$folder/log")
echo "reads of the register of a TPM that is not there: $reads"
[ "$reads" -ge 50000 ]
