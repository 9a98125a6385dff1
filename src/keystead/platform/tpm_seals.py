"""Secrets that one TPM releases under a policy: its PCRs, the latest seal number, a signed image.

Whoever sits on the bus between CPU and TPM sees and changes what goes over it. So each command that
carries the secret does so in a session salted under the storage root key (SRK), with parameters
encrypted, and the name of that SRK is kept with the sealed secret: another one's owner would learn
nothing. Only at the sealing itself are the SRK and the PCRs believed as the bus gives them.

Sources: TPM 2.0 Library, parts 1 and 3; for the SRK, TCG TPM v2.0 Provisioning Guidance.
"""

import hashlib
from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
from tpm2_pytss import (
    ESYS_TR,
    TPM2_ALG,
    TPM2_EO,
    TPM2_RC,
    TPM2_SE,
    TPM2B_PRIVATE,
    TPM2B_PUBLIC,
    TPM2B_SENSITIVE_CREATE,
    TPMA_OBJECT,
    TPMA_SESSION,
    TPML_PCR_SELECTION,
    TPMS_SENSITIVE_CREATE,
    TSS2_Exception,
)

from keystead.model.secret import Secret
from keystead.platform.image_policy import ImageKey, ImagePolicy
from keystead.platform.nv_counter import BYTES, NvCounter
from keystead.platform.pcrs import PcrSelection
from keystead.platform.tpm2 import Tpm
from keystead.platform.tpm_failed import TpmFailed
from keystead.platform.tpm_image_policy import authorize, authorized

_SRK_HANDLE: Final = 0x81000001
_SRK_TEMPLATE: Final = "ecc256:aes128cfb"
_SRK_ATTRIBUTES: Final = (
    TPMA_OBJECT.FIXEDTPM
    | TPMA_OBJECT.FIXEDPARENT
    | TPMA_OBJECT.SENSITIVEDATAORIGIN
    | TPMA_OBJECT.RESTRICTED
    | TPMA_OBJECT.DECRYPT
)
"""What makes a storage key one that this TPM made, and that never leaves it."""

_POLICY_PCR: Final = (0x17F).to_bytes(4)
"""TPM_CC_PolicyPCR."""
_POLICY_NV: Final = (0x149).to_bytes(4)
"""TPM_CC_PolicyNV."""
_AT_MOST: Final = (0x0009).to_bytes(2)
"""TPM_EO_UNSIGNED_LE."""
_FROM_THE_START: Final = bytes(2)
"""The offset in the counter."""
SEALS: Final = 0x01804B54
"""The index of the counter of sealed secrets, in the range that the TCG's registry leaves to the
owner of the machine."""


class SealedSecret(msgspec.Struct, frozen=True, array_like=True):
    """A secret that only one TPM releases, while its PCRs are unchanged."""

    srk_name: bytes
    """The hash of the SRK's public part: the key that sessions are salted under."""
    public: bytes
    private: bytes
    bank: str
    registers: tuple[int, ...]
    values: tuple[bytes, ...]
    """Of these registers, at the sealing."""
    seal_number: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """The largest value of the counter of seals with which it opens. None: any."""
    image: ImageKey | None = None
    """The images that open it. None: any image."""

    @property
    def pcrs(self) -> PcrSelection:
        """The registers that it is bound to."""
        return PcrSelection(self.bank, self.registers)


class TpmSeals:
    """Seals and opens secrets with one TPM. `Tpm.open` makes TpmFailed of what the TPM refuses."""

    def __init__(self, tpm: Tpm) -> None:
        self._tpm = tpm
        self._esys = tpm.esys

    def next_seal_number(self) -> int:
        """Return the seal number of a secret whose `revoke_older` ends all that are there now."""
        return NvCounter(self._esys, SEALS).value() + 1

    def revoke_older(self, seal_number: int) -> None:
        """Raise the counter, so that only secrets with this seal number open. Can be repeated."""
        counter = NvCounter(self._esys, SEALS)
        # By one at most: `next_seal_number` is never further away.
        if counter.value() < seal_number:
            counter.increment()

    def seal(
        self,
        secret: Secret,
        pcrs: PcrSelection,
        seal_number: int | None = None,
        image: ImageKey | None = None,
    ) -> SealedSecret:
        """Bind at most 128 bytes to this TPM, and to the present values of `pcrs`.

        With a `seal_number`, by `next_seal_number`, a later one can revoke it. With an `image`,
        only signed images open it.
        """
        srk, name = self._srk_for_sealing()
        self._tpm.require_active(pcrs)
        values = self._tpm.pcr_values(pcrs)
        # By policy alone: without userWithAuth there is no password to guess, and noDA keeps the
        # lockout that other users of the TPM cause away from it.
        template = TPM2B_PUBLIC.parse(
            "keyedhash",
            objectAttributes=TPMA_OBJECT.FIXEDTPM | TPMA_OBJECT.FIXEDPARENT | TPMA_OBJECT.NODA,
            authPolicy=self._policy(pcrs, values, seal_number, image),
        )
        sensitive = TPM2B_SENSITIVE_CREATE(TPMS_SENSITIVE_CREATE(data=secret.reveal()))
        session = self._session(srk, TPM2_SE.HMAC, TPMA_SESSION.DECRYPT | TPMA_SESSION.ENCRYPT)
        private, public, *_ = self._esys.create(srk, sensitive, template, session1=session)
        return SealedSecret(
            name,
            public.marshal(),
            private.marshal(),
            pcrs.bank,
            pcrs.registers,
            values,
            seal_number,
            image,
        )

    def unseal(self, sealed: SealedSecret, policy: ImagePolicy | None = None) -> Secret:
        """Return the secret. `policy` is that of the running image.

        Raises TpmFailed if this is another TPM, its PCRs have changed, or the image may not open
        it.
        """
        self._tpm.require_active(sealed.pcrs)
        srk = self._srk_of(sealed.srk_name)
        selection = _selection(sealed.pcrs)
        session = self._session(srk, TPM2_SE.POLICY, TPMA_SESSION.ENCRYPT)
        if sealed.image is not None:
            authorize(self._esys, session, sealed.image, policy)
        try:
            self._esys.policy_pcr(session, _digest(sealed.values), selection)
        except TSS2_Exception as error:
            raise TpmFailed(self._why_not(sealed) or f"the TPM says: {error}.") from error
        if sealed.seal_number is not None:
            self._require_latest(session, sealed.seal_number)
        return Secret(bytes(self._esys.unseal(self._load(srk, sealed), session1=session)))

    def _require_latest(self, session: ESYS_TR, seal_number: int) -> None:
        """Have the TPM note in `session` that no later secret has revoked this seal number."""
        counter = NvCounter(self._esys, SEALS).found()
        if counter is None:
            raise TpmFailed(f"the counter {SEALS:#x} of sealed keys was deleted in the TPM.")
        limit = seal_number.to_bytes(BYTES)
        try:
            self._esys.policy_nv(counter, counter, session, limit, TPM2_EO.UNSIGNED_LE)
        except TSS2_Exception as error:
            if error.error != TPM2_RC.POLICY:
                raise
            raise TpmFailed(
                "it is an older copy: another key was sealed since, which has revoked this one."
            ) from error

    def _load(self, srk: ESYS_TR, sealed: SealedSecret) -> ESYS_TR:
        try:
            public, _ = TPM2B_PUBLIC.unmarshal(sealed.public)
            private, _ = TPM2B_PRIVATE.unmarshal(sealed.private)
            handle = self._esys.load(srk, private, public)
        except TSS2_Exception as error:
            raise TpmFailed("it is damaged: the TPM does not take it.") from error
        self._tpm.flush_at_end(handle)
        return handle

    def _why_not(self, sealed: SealedSecret) -> str:
        """Return the registers that have changed since the sealing."""
        present = self._tpm.pcr_values(sealed.pcrs)
        changed = changed_registers(sealed, present)
        if not changed:
            return ""
        named = ", ".join(map(str, changed))
        return (
            f"of the PCRs {sealed.pcrs}, {named} is not what it was when the key was sealed: "
            "the firmware, its settings or what was booted has changed."
        )

    # --- the storage root key --------------------------------------------------------------

    def _srk_for_sealing(self) -> tuple[ESYS_TR, bytes]:
        """Return an SRK that this TPM made, with its name: the persistent one if there is one."""
        persistent = self._persistent_srk()
        if persistent is not None and self._is_ours(persistent):
            return persistent, self._name(persistent)
        made = self._make_srk()
        return made, self._name(made)

    def _srk_of(self, name: bytes) -> ESYS_TR:
        """Return the SRK of this name; it may have been made persistent since, or not any more."""
        for find in (self._persistent_srk, self._make_srk):
            handle = find()
            if handle is not None and self._name(handle) == name:
                return handle
        raise TpmFailed(
            "it was sealed under another storage root key: the TPM was cleared, is another one, "
            "or something stands between it and this machine."
        )

    def _persistent_srk(self) -> ESYS_TR | None:
        try:
            return self._esys.tr_from_tpmpublic(_SRK_HANDLE)
        except TSS2_Exception as error:
            if error.error == TPM2_RC.HANDLE:
                return None
            raise

    def _make_srk(self) -> ESYS_TR:
        """Derive the SRK from the owner's seed: the same one each time, until a TPM2_Clear."""
        handle, _ = self._tpm.make_primary(
            _SRK_TEMPLATE,
            _SRK_ATTRIBUTES | TPMA_OBJECT.USERWITHAUTH | TPMA_OBJECT.NODA,
            ESYS_TR.OWNER,
            complaint="the TPM's owner has a password, and the storage root key of the device "
            f"key is not at {_SRK_HANDLE:#x}: have one made persistent there.",
        )
        return handle

    def _is_ours(self, handle: ESYS_TR) -> bool:
        public, *_ = self._esys.read_public(handle)
        return bool(public.publicArea.objectAttributes & _SRK_ATTRIBUTES == _SRK_ATTRIBUTES)

    def _name(self, handle: ESYS_TR) -> bytes:
        return bytes(self._esys.tr_get_name(handle))

    # --- inside ----------------------------------------------------------------------------

    def _policy(
        self,
        pcrs: PcrSelection,
        values: Sequence[bytes],
        seal_number: int | None,
        image: ImageKey | None,
    ) -> bytes:
        """Return the digest of a policy (part 3, TPM2_PolicyPCR and TPM2_PolicyNV)."""
        start = bytes(hashlib.sha256().digest_size) if image is None else authorized(image)
        registers = _POLICY_PCR + _selection(pcrs).marshal() + _digest(values)
        policy = hashlib.sha256(start + registers).digest()
        if seal_number is None:
            return policy
        limit = seal_number.to_bytes(BYTES) + _FROM_THE_START + _AT_MOST
        name = NvCounter(self._esys, SEALS).name
        return hashlib.sha256(policy + _POLICY_NV + hashlib.sha256(limit).digest() + name).digest()

    def _session(self, srk: ESYS_TR, kind: TPM2_SE, attributes: TPMA_SESSION) -> ESYS_TR:
        session = self._esys.start_auth_session(
            srk, ESYS_TR.NONE, kind, "aes128cfb", TPM2_ALG.SHA256
        )
        self._tpm.flush_at_end(session)
        self._esys.trsess_set_attributes(session, attributes | TPMA_SESSION.CONTINUESESSION)
        return session


def changed_registers(sealed: SealedSecret, present: Sequence[bytes]) -> list[int]:
    """Return the registers whose `present` values are not those of the sealing."""
    before_and_now = zip(sealed.registers, sealed.values, present, strict=True)
    return [register for register, before, now in before_and_now if before != now]


def _digest(values: Sequence[bytes]) -> bytes:
    return hashlib.sha256(b"".join(values)).digest()


def _selection(pcrs: PcrSelection) -> TPML_PCR_SELECTION:
    return TPML_PCR_SELECTION.parse(str(pcrs) if pcrs.registers else "")
