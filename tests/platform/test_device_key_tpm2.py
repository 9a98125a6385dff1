"""The device key in a TPM: it comes out on this machine, booted as it was, unseen on the bus."""

import msgspec
import pytest

from keystead.errors import InvalidInput, StartRefused
from keystead.model.secret import Secret
from keystead.platform.device_key import DeviceKey
from keystead.platform.pcrs import PcrSelection
from tests.support.tpm import Bus, software_tpm, swtpm

tss = pytest.importorskip("tpm2_pytss", exc_type=ImportError, reason="tpm2-pytss is not installed")

from keystead.platform.device_key_tpm2 import InTpm  # noqa: E402 - needs the package above
from keystead.platform.tpm_seals import SealedSecret  # noqa: E402 - needs the package above

__all__ = ["swtpm"]

KEY = Secret(bytes(range(32)))
WITH_SESSIONS = b"\x80\x02"
UNSEALED_BYTES = 117
"""An answer to TPM2_Unseal: header 10, size 4, secret 2 + 32, session 2 + 32 + 1 + 2 + 32."""
HEADER = b"keystead device key, tpm2, 1\n"


def in_tpm(tpm, pcrs="sha256:7") -> InTpm:
    return InTpm(tpm.tcti, PcrSelection.parse(pcrs))


@pytest.mark.parametrize("pcrs", ["none", "sha256:7", "sha256:0,1,2,3,4,5,6,7,8,9", "sha384:7"])
def test_what_was_sealed_opens_again_and_after_a_power_cycle(swtpm, pcrs):
    provider = in_tpm(swtpm, pcrs)
    sealed = provider.seal(KEY)
    assert KEY.reveal() not in sealed
    assert provider.unseal(sealed).reveal() == KEY.reveal()
    swtpm.restart()
    assert provider.unseal(sealed).reveal() == KEY.reveal()


def test_no_session_or_object_is_left_in_the_tpm(swtpm):
    provider = in_tpm(swtpm)
    for _ in range(5):  # It has room for three.
        assert provider.unseal(provider.seal(KEY)).reveal() == KEY.reveal()


def test_a_changed_pcr_is_named_and_the_key_stays_until_it_is_back(swtpm):
    provider = in_tpm(swtpm, "sha256:0,4,7")
    sealed = provider.seal(KEY)
    swtpm.extend(4)
    with pytest.raises(StartRefused, match=r"of the PCRs sha256:0,4,7, 4 is not what it was"):
        provider.unseal(sealed)
    lines = provider.describe(sealed)
    assert lines[1:] == [
        "older copies: not revoked",
        "pcrs: sha256:0,4,7",
        "pcr 0: as sealed",
        "pcr 4: CHANGED",
        "pcr 7: as sealed",
    ]
    swtpm.restart()
    assert provider.unseal(sealed).reveal() == KEY.reveal()


def test_a_pcr_that_was_not_chosen_may_change(swtpm):
    provider = in_tpm(swtpm)
    sealed = provider.seal(KEY)
    swtpm.extend(4)
    assert provider.unseal(sealed).reveal() == KEY.reveal()


def test_what_the_file_says_of_the_pcrs_does_not_decide(swtpm):
    provider = in_tpm(swtpm)
    sealed = provider.seal(KEY)
    swtpm.extend(7)
    secret = msgspec.msgpack.decode(sealed[len(HEADER) :], type=SealedSecret)
    with_present = in_tpm(swtpm).seal(KEY)
    present = msgspec.msgpack.decode(with_present[len(HEADER) :], type=SealedSecret)
    for forged in (
        msgspec.structs.replace(secret, values=present.values),
        msgspec.structs.replace(secret, registers=(), values=()),
    ):
        with pytest.raises(StartRefused, match="policy"):
            provider.unseal(HEADER + msgspec.msgpack.encode(forged))


def test_a_cleared_tpm_is_refused(swtpm):
    provider = in_tpm(swtpm)
    sealed = provider.seal(KEY)
    swtpm.clear()
    with pytest.raises(StartRefused, match="another storage root key: the TPM was cleared"):
        provider.unseal(sealed)


def test_another_tpm_is_refused(swtpm):
    sealed = in_tpm(swtpm).seal(KEY)
    with software_tpm() as other, pytest.raises(StartRefused, match="another storage root key"):
        in_tpm(other).unseal(sealed)


SRK = tss.TPMA_OBJECT.DEFAULT_TPM2_TOOLS_CREATEPRIMARY_ATTRS


def make_persistent(tpm, kind="ecc256:aes128cfb", attributes=SRK) -> None:
    template = tss.TPM2B_PUBLIC.parse(kind, objectAttributes=attributes)
    with tpm.esys() as esys:
        handle, *_ = esys.create_primary(None, template)
        esys.evict_control(tss.ESYS_TR.OWNER, handle, 0x81000001)
        esys.flush_context(handle)


def test_a_persistent_storage_root_key_is_used_and_one_that_comes_later_does_no_harm(swtpm):
    provider = in_tpm(swtpm)
    before = provider.seal(KEY)
    make_persistent(swtpm, "rsa2048:aes128cfb")
    after = provider.seal(KEY)
    names = {
        msgspec.msgpack.decode(sealed[len(HEADER) :], type=SealedSecret).srk_name
        for sealed in (before, after)
    }
    assert len(names) == 2
    for sealed in (before, after):
        assert provider.unseal(sealed).reveal() == KEY.reveal()


def test_an_owners_password_is_named_and_does_not_matter_with_a_persistent_key(swtpm):
    make_persistent(swtpm)
    sealed = in_tpm(swtpm).seal(KEY)
    with swtpm.esys() as esys:
        esys.hierarchy_change_auth(tss.ESYS_TR.OWNER, b"secret")
    assert in_tpm(swtpm).unseal(sealed).reveal() == KEY.reveal()
    with software_tpm() as other:
        with other.esys() as esys:
            esys.hierarchy_change_auth(tss.ESYS_TR.OWNER, b"secret")
        with pytest.raises(StartRefused, match=r"owner has a password.* at 0x81000001"):
            in_tpm(other).seal(KEY)


def test_a_persistent_key_that_can_leave_the_tpm_is_not_trusted(swtpm):
    movable = (
        tss.TPMA_OBJECT.RESTRICTED
        | tss.TPMA_OBJECT.DECRYPT
        | tss.TPMA_OBJECT.USERWITHAUTH
        | tss.TPMA_OBJECT.SENSITIVEDATAORIGIN
    )
    before = in_tpm(swtpm).seal(KEY)
    make_persistent(swtpm, attributes=movable)
    after = in_tpm(swtpm).seal(KEY)
    names = {
        msgspec.msgpack.decode(sealed[len(HEADER) :], type=SealedSecret).srk_name
        for sealed in (before, after)
    }
    assert len(names) == 1


def test_a_changed_bit_anywhere_is_refused_or_does_not_matter(swtpm):
    provider = in_tpm(swtpm)
    sealed = provider.seal(KEY)
    refused = 0
    for at in range(0, len(sealed), 11):
        damaged = sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]
        try:
            assert provider.unseal(damaged).reveal() == KEY.reveal()
        except StartRefused:
            refused += 1
    assert refused > len(sealed) / 11 * 0.8
    assert provider.unseal(sealed).reveal() == KEY.reveal()


def test_the_key_crosses_no_bus_in_clear(swtpm):
    bus = Bus(swtpm)
    try:
        provider = in_tpm(bus)
        sealed = provider.seal(KEY)
        assert provider.unseal(sealed).reveal() == KEY.reveal()
    finally:
        bus.close()
    secret = msgspec.msgpack.decode(sealed[len(HEADER) :], type=SealedSecret)
    assert bus.seen.count(secret.public[2:]) == 2  # It does see what is not encrypted.
    for length in (32, 8):
        assert KEY.reveal()[:length] not in bus.seen


def test_what_is_changed_on_the_bus_is_noticed(swtpm):
    class Meddling(Bus):
        """Changes one bit of the secret, encrypted as it is, in the answer to TPM2_Unseal."""

        tampered = 0

        def passing(self, data):
            if len(data) == UNSEALED_BYTES and data.startswith(WITH_SESSIONS):
                self.tampered += 1
                return data[:20] + bytes([data[20] ^ 1]) + data[21:]
            return data

    provider = in_tpm(swtpm)
    sealed = provider.seal(KEY)
    bus = Meddling(swtpm)
    try:
        with pytest.raises(StartRefused, match=r"the TPM swtpm:.* says: "):
            in_tpm(bus).unseal(sealed)
    finally:
        bus.close()
    assert bus.tampered == 1


# --- no TPM ------------------------------------------------------------------------------------


def test_no_tpm_is_refused(tmp_path, swtpm):
    swtpm.stop()
    with pytest.raises(StartRefused, match="cannot be reached"):
        in_tpm(swtpm).seal(KEY)
    for tcti, complaint in (
        (f"device:{tmp_path / 'tpm0'}", "cannot be used: No such file"),
        (f"device:{tmp_path}", "cannot be used: Is a directory"),
        ("nosuch", "cannot be reached"),
    ):
        with pytest.raises(StartRefused, match=complaint):
            InTpm(tcti, PcrSelection.parse("none")).seal(KEY)


def turn_off(tpm, bank) -> None:
    none = tss.TPMS_PCR_SELECTION(hash=bank)
    none._cdata.sizeofSelect = 3  # noqa: SLF001 - parse() knows no empty bank
    with tpm.esys() as esys:
        esys.pcr_allocate(tss.TPML_PCR_SELECTION([none]), tss.ESYS_TR.PLATFORM)
    tpm.restart()


OFF = r"keeps no PCR 7 in the bank sha512, .* its active banks: sha1, sha256, sha384\."


def test_a_bank_that_is_off_is_refused_when_sealing_and_named(swtpm):
    turn_off(swtpm, tss.TPM2_ALG.SHA512)
    provider = in_tpm(swtpm, "sha512:7")
    for ask in (lambda: provider.seal(KEY), provider.survey):
        with pytest.raises(StartRefused, match=OFF):
            ask()
    assert in_tpm(swtpm, "none").survey()[0] == "active banks of PCRs: sha1, sha256, sha384"


def test_a_bank_that_was_turned_off_since_is_refused_at_the_start(swtpm):
    sealed = in_tpm(swtpm, "sha512:7").seal(KEY)
    turn_off(swtpm, tss.TPM2_ALG.SHA512)
    with pytest.raises(StartRefused, match=OFF):
        in_tpm(swtpm).unseal(sealed)


def test_a_pcr_that_nothing_was_measured_into_is_told(swtpm):
    warning = "warning: nothing was measured into PCR 7 at this boot"
    assert in_tpm(swtpm).survey()[1:] == ["would be sealed to: sha256:7", warning]
    swtpm.extend(7)
    assert in_tpm(swtpm).survey()[1:] == ["would be sealed to: sha256:7"]


def test_a_tpm_that_does_not_answer_is_given_up(swtpm):
    class Silent(Bus):
        """Passes nothing on."""

        def passing(self, data):
            return data[:0]

    bus = Silent(swtpm)
    try:
        provider = InTpm(bus.tcti, PcrSelection.parse("none"), patience_seconds=0.5)
        with pytest.raises(StartRefused, match=r"has not answered for 0\.5 seconds"):
            provider.seal(KEY)
    finally:
        bus.close()


def test_a_first_start_without_the_tpm_leaves_nothing(tmp_path, swtpm):
    swtpm.stop()
    with pytest.raises(StartRefused, match="cannot be reached"):
        DeviceKey(tmp_path, in_tpm(swtpm)).fetch(store_exists=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("noise", [b"", b"k" * 32, HEADER, HEADER + b"\x90", HEADER + b"\xff"])
def test_what_is_no_sealed_key_is_refused_without_asking_a_tpm(noise):
    provider = InTpm("nosuch", PcrSelection.parse("none"))
    with pytest.raises(StartRefused, match=r"newer format|damaged"):
        provider.unseal(noise)


# --- PCRs --------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["none", "sha256:7", "sha384:0,2,23"])
def test_a_selection_is_written_as_it_is_read(text):
    assert str(PcrSelection.parse(text)) == text


def test_a_selection_is_in_order():
    assert str(PcrSelection.parse("sha256:7,0")) == "sha256:0,7"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "7",
        "sha256",
        "sha256:",
        "sha1:7",
        "sha256:24",
        "sha256:7,7",
        "sha256:7,",
        "sha256:\u0667",
    ],
)
def test_what_is_no_selection_is_refused(text):
    with pytest.raises(InvalidInput, match="not a selection of PCRs"):
        PcrSelection.parse(text)
