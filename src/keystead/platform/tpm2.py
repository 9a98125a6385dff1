"""The TPM 2.0 of this machine: a connection, its registers, and keys from its seeds.

Source: TPM 2.0 Library, parts 1 and 3.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Final, Self

from tpm2_pytss import (
    ESAPI,
    ESYS_TR,
    TPM2_ALG,
    TPM2_CAP,
    TPM2_RC,
    TPM2B_PUBLIC,
    TPMA_OBJECT,
    TCTILdr,
    TSS2_Exception,
)

from keystead.platform.pcrs import PcrSelection
from keystead.platform.tpm_failed import TpmFailed

# The library's own complaints would stand beside ours, which say what to do.
os.environ.setdefault("TSS2_LOG", "all+none")

_NOT_AUTHORIZED: Final = (TPM2_RC.AUTH_FAIL, TPM2_RC.BAD_AUTH)
_COORDINATE_BYTES: Final = 32

_BANKS: Final = {
    TPM2_ALG.SHA1: "sha1",
    TPM2_ALG.SHA256: "sha256",
    TPM2_ALG.SHA384: "sha384",
    TPM2_ALG.SHA512: "sha512",
}
_MOST_BANKS: Final = 16
_DEVICE: Final = "device"


class Tpm:
    """An open connection to a TPM, by `open`."""

    def __init__(self, esys: ESAPI, cleanup: ExitStack) -> None:
        self._esys = esys
        self._cleanup = cleanup

    @property
    def esys(self) -> ESAPI:
        """The TPM's commands, as the TSS names them. They raise TSS2_Exception."""
        return self._esys

    @classmethod
    @contextmanager
    def open(cls, tcti: str) -> Iterator[Self]:
        """Connect by `tcti` (NAME or NAME:OPTIONS, as in the TSS). Clean the TPM up at the end.

        Raises TpmFailed if there is no TPM, and for every error inside.
        """
        name, _, options = tcti.partition(":")
        _try_device(name, options)
        with ExitStack() as cleanup:
            try:
                link = cleanup.enter_context(TCTILdr(name, options or None))
                esys = cleanup.enter_context(ESAPI(link))
            except TSS2_Exception as error:
                raise TpmFailed(f"the TPM {tcti} cannot be reached: {error}.") from error
            try:
                yield cls(esys, cleanup)
            except TSS2_Exception as error:
                raise TpmFailed(f"the TPM {tcti} says: {error}.") from error

    def active_registers(self) -> dict[str, frozenset[int]]:
        """Return the registers that this TPM keeps, by bank. Firmware settings choose the banks."""
        _, found = self._esys.get_capability(TPM2_CAP.PCRS, 0, _MOST_BANKS)
        active = {
            _BANKS.get(one.hash, hex(one.hash)): _set_bits(bytes(one.pcrSelect)[: one.sizeofSelect])
            for one in found.data.assignedPCR
        }
        return {bank: registers for bank, registers in active.items() if registers}

    def require_active(self, pcrs: PcrSelection) -> None:
        """Raise TpmFailed unless the TPM keeps all of these registers.

        A policy over one that is off measures nothing: it holds whatever boots.
        """
        active = self.active_registers()
        off = sorted(set(pcrs.registers) - active.get(pcrs.bank, frozenset()))
        if off:
            raise TpmFailed(
                f"the TPM keeps no PCR {', '.join(map(str, off))} in the bank {pcrs.bank}, which "
                f"would be tied to no measurement; its active banks: {', '.join(active) or 'none'}."
            )

    def pcr_values(self, pcrs: PcrSelection) -> tuple[bytes, ...]:
        """Return the present values of registers, as the bus gives them."""
        return tuple(self._pcr_value(pcrs.bank, register) for register in pcrs.registers)

    def make_primary(
        self, template: str, attributes: TPMA_OBJECT, hierarchy: ESYS_TR, *, complaint: str
    ) -> tuple[ESYS_TR, TPM2B_PUBLIC]:
        """Derive a key on P-256 from the seed of `hierarchy`: the same one each time.

        It is gone from the TPM's memory with this connection. Raises TpmFailed with the text
        `complaint` if the hierarchy has a password.
        """
        public = TPM2B_PUBLIC.parse(template, objectAttributes=attributes)
        unique = public.publicArea.unique.ecc
        unique.x, unique.y = bytes(_COORDINATE_BYTES), bytes(_COORDINATE_BYTES)
        try:
            handle, made, *_ = self._esys.create_primary(None, public, hierarchy)
        except TSS2_Exception as error:
            if error.error not in _NOT_AUTHORIZED:
                raise
            raise TpmFailed(complaint) from error
        self.flush_at_end(handle)
        return handle, made

    def flush_at_end(self, handle: ESYS_TR) -> None:
        """Have the TPM forget an object or a session at the end of the connection."""

        def flush() -> None:
            with suppress(TSS2_Exception):  # The link is gone, and the handle with it or not.
                self._esys.flush_context(handle)

        self._cleanup.callback(flush)

    def _pcr_value(self, bank: str, register: int) -> bytes:
        _, _, found = self._esys.pcr_read(f"{bank}:{register}")
        if not len(found):
            raise TpmFailed(f"the TPM keeps no bank {bank} of PCRs.")
        return bytes(found[0])


def _set_bits(selected: bytes) -> frozenset[int]:
    """Return the numbers of the bits that are set, from the lowest of the first byte on."""
    return frozenset(n for n in range(8 * len(selected)) if selected[n // 8] >> n % 8 & 1)


def _try_device(name: str, path: str) -> None:
    """Say why a device does not open, which the library does not."""
    if name != _DEVICE or not path:
        return
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK))
    except OSError as error:
        raise TpmFailed(f"the TPM {path} cannot be used: {error.strerror}.") from error
