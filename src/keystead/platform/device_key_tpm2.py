"""The device key sealed by the machine's TPM. It opens only on this machine, booted as before."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Thread
from typing import Final, Generic, TypeVar

import msgspec

from keystead.errors import InvalidInput, StartRefused
from keystead.model.secret import Secret
from keystead.platform.image_policy import ImageKey, ImagePolicy
from keystead.platform.pcrs import PcrSelection
from keystead.platform.tpm2 import Tpm
from keystead.platform.tpm_failed import TpmFailed
from keystead.platform.tpm_seals import SealedSecret, TpmSeals, changed_registers

PATIENCE_SECONDS: Final = 60.0
"""The time for the TPM. A slow TPM needs some seconds, and a hanging one must not block the
start."""

_HEADER: Final = b"keystead device key, tpm2, 1\n"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Images:
    """The builder's key, and the policy that it has signed for the image that runs."""

    public_pem: bytes
    policy: ImagePolicy

    def sealing_to(self, pcrs: PcrSelection) -> ImageKey:
        """Return the images that open what is sealed now, this one and all later ones.

        Raises StartRefused if `pcrs` has a register of the image, which changes with each image.
        """
        of_image = PcrSelection.parse(self.policy.pcrs)
        both = set(pcrs.registers) & set(of_image.registers)
        if both:
            raise StartRefused(
                f"PCR {', '.join(map(str, sorted(both)))} is in the policy of the image: take it "
                "out of device_key.pcrs, or no other image opens the key."
            )
        return ImageKey(self.public_pem, self.policy.security_version)


class InTpm:
    """Provider `tpm2`: sealed under the storage root key of one TPM and the values of its PCRs."""

    name: Final = "tpm2"

    def __init__(
        self,
        tcti: str,
        pcrs: PcrSelection,
        *,
        numbers_seals: bool = False,
        images: Images | None = None,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        """`tcti` is the address of the TPM. `pcrs` are for sealing; a sealed key has its own.

        With `numbers_seals`, what is sealed can be revoked. No other HSM may do the same with
        this TPM, because each would revoke the key of the other. With `images`, only signed images
        open what is sealed.
        """
        self._tcti = tcti
        self._pcrs = pcrs
        self._numbers_seals = numbers_seals
        self._images = images
        self._patience_seconds = patience_seconds

    def seal(self, key: Secret) -> bytes:
        """Return the key sealed to the present PCRs. Raises StartRefused if the TPM fails."""
        image = None if self._images is None else self._images.sealing_to(self._pcrs)

        def work(tpm: Tpm) -> SealedSecret:
            seals = TpmSeals(tpm)
            seal_number = seals.next_seal_number() if self._numbers_seals else None
            return seals.seal(key, self._pcrs, seal_number, image)

        return _HEADER + msgspec.msgpack.encode(self._ask(work))

    def unseal(self, sealed: bytes) -> Secret:
        """Return the key. Raises StartRefused if the TPM is another or missing, or PCRs differ."""
        secret = _parse(sealed)
        policy = None if self._images is None else self._images.policy
        return self._ask(lambda tpm: TpmSeals(tpm).unseal(secret, policy))

    def revoke_older(self, sealed: bytes) -> None:
        """Have the TPM open no earlier result of `seal`, if this one has a seal number.

        Raises StartRefused if the TPM is missing or refuses it.
        """
        seal_number = _parse(sealed).seal_number
        if seal_number is not None:
            self._ask(lambda tpm: TpmSeals(tpm).revoke_older(seal_number))

    def is_for_older_images(self, sealed: bytes) -> bool:
        """Return whether the key was sealed for any image, or for a version before this image's.

        Raises StartRefused if it is damaged.
        """
        if self._images is None:
            return False
        image = _parse(sealed).image
        return image is None or image.security_version < self._images.policy.security_version

    def describe(self, sealed: bytes) -> Sequence[str]:
        """Return the TPM, and the state of each PCR that the key is bound to."""
        secret = _parse(sealed)
        revoked = "not revoked" if secret.seal_number is None else "revoked"
        lines = [f"tpm: {self._tcti}", f"older copies: {revoked}", f"pcrs: {secret.pcrs}"]
        if secret.image is not None:
            lines.append(f"images: signed, of security version {secret.image.security_version} on")
        try:
            present = self._ask(lambda tpm: tpm.pcr_values(secret.pcrs))
        except StartRefused as refusal:
            return [*lines, f"pcr values: unknown: {refusal.message}"]
        changed = changed_registers(secret, present)
        states = (
            "CHANGED" if register in changed else "as sealed" for register in secret.registers
        )
        named = zip(secret.registers, states, strict=True)
        return [*lines, *(f"pcr {register}: {state}" for register, state in named)]

    def survey(self) -> Sequence[str]:
        """Return the TPM's active banks, and the PCRs that a key would be sealed to now.

        Raises StartRefused if the bank of these PCRs is off, or the TPM cannot be used.
        """

        def work(tpm: Tpm) -> tuple[list[str], tuple[bytes, ...]]:
            tpm.require_active(self._pcrs)
            return list(tpm.active_registers()), tpm.pcr_values(self._pcrs)

        banks, values = self._ask(work)
        never = [
            str(register)
            for register, value in zip(self._pcrs.registers, values, strict=True)
            if not any(value)
        ]
        lines = [f"active banks of PCRs: {', '.join(banks)}", f"would be sealed to: {self._pcrs}"]
        if never:
            lines.append(f"warning: nothing was measured into PCR {', '.join(never)} at this boot")
        return lines

    def _ask(self, work: Callable[[Tpm], T]) -> T:
        """Return the result of `work` with the TPM, which is closed after that if it answers."""
        asking = _Asking(self._tcti, work)
        asking.start()
        asking.join(self._patience_seconds)
        if asking.is_alive():
            raise StartRefused(
                f"the TPM {self._tcti} has not answered for {self._patience_seconds:g} seconds."
            )
        if asking.failure is not None:
            raise asking.failure
        return asking.result


class _Asking(Thread, Generic[T]):
    """Work with a TPM on a thread that can be abandoned, because the TSS waits without a limit."""

    result: T

    def __init__(self, tcti: str, work: Callable[[Tpm], T]) -> None:
        super().__init__(name="tpm", daemon=True)
        self._tcti = tcti
        self._work = work
        self.failure: Exception | None = None

    def run(self) -> None:
        """Do the work; `result` or `failure` is there after it."""
        try:
            with Tpm.open(self._tcti) as tpm:
                self.result = self._work(tpm)
        except TpmFailed as failure:
            self.failure = StartRefused(failure.message)
        except Exception as bug:  # noqa: BLE001 - raised again where it was asked for
            self.failure = bug


def _parse(sealed: bytes) -> SealedSecret:
    if not sealed.startswith(_HEADER):
        raise StartRefused("it is not one that this software made, or it is of a newer format.")
    try:
        secret = msgspec.msgpack.decode(sealed[len(_HEADER) :], type=SealedSecret)
        is_sound = PcrSelection.parse(str(secret.pcrs)) == secret.pcrs
    except (msgspec.MsgspecError, InvalidInput):
        raise StartRefused("it is damaged.") from None
    if not is_sound or len(secret.values) != len(secret.registers):
        raise StartRefused("it is damaged.")
    return secret
