"""With numbered seals, a TPM opens the device key in force, and no earlier copy of its file."""

from pathlib import Path

import msgspec
import pytest

from keystead.errors import StartRefused
from keystead.model.secret import Secret
from keystead.platform.data_directory import DataDirectory
from keystead.platform.device_key import DeviceKey
from keystead.platform.pcrs import PcrSelection
from tests.support.tpm import Swtpm, swtpm

tss = pytest.importorskip("tpm2_pytss", exc_type=ImportError, reason="tpm2-pytss is not installed")

from keystead.platform.device_key_tpm2 import InTpm  # noqa: E402 - needs the package above
from keystead.platform.nv_counter import NvCounter  # noqa: E402 - needs the package above
from keystead.platform.tpm_seals import SEALS, SealedSecret  # noqa: E402 - needs the package above

__all__ = ["swtpm"]

KEY = Secret(bytes(range(32)))
HEADER = b"keystead device key, tpm2, 1\n"
OLDER = "it is an older copy"
SRK = tss.TPMA_OBJECT.DEFAULT_TPM2_TOOLS_CREATEPRIMARY_ATTRS


def in_tpm(tpm: Swtpm, pcrs: str = "sha256:7") -> InTpm:
    return InTpm(tpm.tcti, PcrSelection.parse(pcrs), numbers_seals=True)


def started(data: Path, provider: InTpm) -> Secret:
    """Do what the platform does at its start; return the device key."""
    kept = DeviceKey(data, provider)
    fetched = kept.fetch(store_exists=kept.is_there)
    kept.revoke_older()
    return fetched.settle(None)


def resealed(data: Path, provider: InTpm, key: Secret) -> None:
    """Seal the key again, as `keystead device-key move` does."""
    kept = DeviceKey(data, provider)
    kept.stage(key)
    kept.promote()
    kept.revoke_older()


def test_a_copy_from_before_the_key_was_sealed_again_does_not_open(
    tmp_path: Path, swtpm: Swtpm
) -> None:
    provider = in_tpm(swtpm)
    key = started(tmp_path, provider)
    copy = (tmp_path / "device.key.tpm2").read_bytes()
    assert provider.unseal(copy).reveal() == key.reveal()
    resealed(tmp_path, provider, key)
    for _ in range(2):
        with pytest.raises(StartRefused, match=OLDER):
            provider.unseal(copy)
        assert started(tmp_path, provider).reveal() == key.reveal()
        swtpm.restart()


def test_the_system_before_an_update_has_no_key_after_it(tmp_path: Path, swtpm: Swtpm) -> None:
    key = started(tmp_path, in_tpm(swtpm, "sha256:11"))
    copy = (tmp_path / "device.key.tpm2").read_bytes()
    resealed(tmp_path, in_tpm(swtpm, "none"), key)
    swtpm.restart()
    swtpm.extend(11)  # The new system starts, and seals the key to itself.
    resealed(tmp_path, in_tpm(swtpm, "sha256:11"), key)
    swtpm.restart()  # The old system starts, with the old disk or with the new one.
    with pytest.raises(StartRefused, match=OLDER):
        in_tpm(swtpm).unseal(copy)
    with pytest.raises(StartRefused, match="11 is not what it was"):
        started(tmp_path, in_tpm(swtpm))
    swtpm.extend(11)
    assert started(tmp_path, in_tpm(swtpm)).reveal() == key.reveal()


def test_a_factory_reset_leaves_copies_of_the_key_without_use(tmp_path: Path, swtpm: Swtpm) -> None:
    provider = in_tpm(swtpm)
    directory = DataDirectory.open(tmp_path / "data")
    key = started(directory.path, provider)
    copy = (directory.path / "device.key.tpm2").read_bytes()
    directory.reset()
    assert started(directory.path, provider).reveal() != key.reveal()
    directory.close()
    with pytest.raises(StartRefused, match=OLDER):
        provider.unseal(copy)


def test_after_a_power_cut_at_any_step_of_a_change_a_key_opens(
    tmp_path: Path, swtpm: Swtpm
) -> None:
    provider = in_tpm(swtpm)
    key = started(tmp_path, provider)
    copy = (tmp_path / "device.key.tpm2").read_bytes()
    kept = DeviceKey(tmp_path, provider)

    kept.stage(key)
    swtpm.restart()
    assert started(tmp_path, provider).reveal() == key.reveal()  # With two files, and settled.
    assert provider.unseal(copy).reveal() == key.reveal()
    assert started(tmp_path, provider).reveal() == key.reveal()
    with pytest.raises(StartRefused, match=OLDER):
        provider.unseal(copy)

    copy = (tmp_path / "device.key.tpm2").read_bytes()
    kept.stage(key)
    kept.promote()
    swtpm.restart()
    assert provider.unseal(copy).reveal() == key.reveal()
    assert started(tmp_path, provider).reveal() == key.reveal()
    with pytest.raises(StartRefused, match=OLDER):
        provider.unseal(copy)


def test_starts_do_not_wear_the_counter_out(tmp_path: Path, swtpm: Swtpm) -> None:
    provider = in_tpm(swtpm)
    started(tmp_path, provider)
    with swtpm.esys() as esys:
        before = NvCounter(esys, SEALS).value()
        for _ in range(3):
            started(tmp_path, provider)
        assert NvCounter(esys, SEALS).value() == before


def test_what_the_file_says_of_its_seal_number_does_not_decide(swtpm: Swtpm) -> None:
    provider = in_tpm(swtpm)
    sealed = provider.seal(KEY)
    provider.revoke_older(sealed)
    older = msgspec.msgpack.decode(sealed[len(HEADER) :], type=SealedSecret)
    assert older.seal_number is not None
    provider.revoke_older(provider.seal(KEY))
    for seal_number, complaint in (
        (older.seal_number + 1, "policy"),
        (2**64 - 1, "policy"),
        (None, "policy"),
        (0, "damaged"),
        (-1, "damaged"),
    ):
        forged = msgspec.structs.replace(older, seal_number=seal_number)
        with pytest.raises(StartRefused, match=complaint):
            provider.unseal(HEADER + msgspec.msgpack.encode(forged))


def test_a_counter_that_was_deleted_takes_the_key_with_it(swtpm: Swtpm) -> None:
    provider = in_tpm(swtpm)
    sealed = provider.seal(KEY)
    provider.revoke_older(sealed)
    with swtpm.esys() as esys:
        esys.nv_undefine_space(esys.tr_from_tpmpublic(SEALS))
    with pytest.raises(StartRefused, match="counter 0x1804b54 of sealed keys was deleted"):
        provider.unseal(sealed)
    assert provider.unseal(provider.seal(KEY)).reveal() == KEY.reveal()
    with pytest.raises(StartRefused, match=OLDER):
        provider.unseal(sealed)


def test_a_cleared_tpm_is_refused(swtpm: Swtpm) -> None:
    sealed = in_tpm(swtpm).seal(KEY)
    swtpm.clear()
    with pytest.raises(StartRefused, match="the TPM was cleared"):
        in_tpm(swtpm).unseal(sealed)


def test_a_key_from_before_seals_had_numbers_opens(swtpm: Swtpm) -> None:
    sealed = InTpm(swtpm.tcti, PcrSelection.parse("sha256:7")).seal(KEY)
    *before, seal_number = msgspec.msgpack.decode(sealed[len(HEADER) :])
    assert seal_number is None
    older = HEADER + msgspec.msgpack.encode(before)
    assert in_tpm(swtpm).unseal(older).reveal() == KEY.reveal()
    in_tpm(swtpm).revoke_older(older)
    with swtpm.esys() as esys:
        assert NvCounter(esys, SEALS).found() is None


def test_a_tpm_in_lockout_opens_the_key_and_seals_another(swtpm: Swtpm) -> None:
    provider = in_tpm(swtpm)
    sealed = provider.seal(KEY)
    provider.revoke_older(sealed)
    lock_out(swtpm)
    assert provider.unseal(sealed).reveal() == KEY.reveal()
    later = provider.seal(KEY)
    provider.revoke_older(later)
    assert provider.unseal(later).reveal() == KEY.reveal()
    with pytest.raises(StartRefused, match=OLDER):
        provider.unseal(sealed)


def lock_out(tpm: Swtpm) -> None:
    """Guess a password of somebody else's object until the TPM takes no more guesses."""
    template = tss.TPM2B_PUBLIC.parse("ecc256:aes128cfb", objectAttributes=SRK)
    password = tss.TPM2B_SENSITIVE_CREATE(tss.TPMS_SENSITIVE_CREATE(userAuth=b"right"))
    refusals = []
    with tpm.esys() as esys:
        esys.dictionary_attack_parameters(1, 1000, 1000)
        handle, *_ = esys.create_primary(password, template)
        esys.tr_set_auth(handle, b"wrong")
        for _ in range(3):
            with pytest.raises(tss.TSS2_Exception) as refused:
                esys.create(handle, None, "keyedhash")
            refusals.append(refused.value.error)
        esys.flush_context(handle)
    assert refusals[-1] == tss.TPM2_RC.LOCKOUT


def test_an_owners_password_is_named_and_leaves_no_file(tmp_path: Path, swtpm: Swtpm) -> None:
    template = tss.TPM2B_PUBLIC.parse("ecc256:aes128cfb", objectAttributes=SRK)
    with swtpm.esys() as esys:
        handle, *_ = esys.create_primary(None, template)
        esys.evict_control(tss.ESYS_TR.OWNER, handle, 0x81000001)
        esys.flush_context(handle)
        esys.hierarchy_change_auth(tss.ESYS_TR.OWNER, b"secret")
    with pytest.raises(StartRefused, match="owner has a password, so the counter 0x1804b54"):
        started(tmp_path, in_tpm(swtpm))
    assert list(tmp_path.iterdir()) == []


def test_the_operator_is_told_whether_older_copies_open(swtpm: Swtpm) -> None:
    provider = in_tpm(swtpm)
    assert "older copies: revoked" in provider.describe(provider.seal(KEY))
    without = InTpm(swtpm.tcti, PcrSelection.parse("sha256:7"))
    assert "older copies: not revoked" in without.describe(without.seal(KEY))
