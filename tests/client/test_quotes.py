"""Quotes, verified by someone who has the attestation key and nothing else."""

import json
from struct import pack

import pytest

from keystead.client.attestations import AttestationInvalid
from keystead.client.event_log import replay
from keystead.client.quotes import pem_of, verify_quote
from keystead.errors import InvalidInput
from tests.support.core import b64
from tests.support.quotes import (
    BOOT,
    EV_POST_CODE,
    NO_ACTION,
    HandmadeTpm,
    after,
    answer_of,
    attestation,
    event,
    event_log,
    extended,
    header,
)

NONCE = bytes(range(16))
TPM = HandmadeTpm()
QUOTE = TPM.signed(b"", NONCE)
PUBLISHED = json.dumps({"measurements": {"pcr11": TPM.values["11"].hex()}, "files": []}).encode()


def verified(answer: bytes = b"", nonce: bytes = NONCE, key: bytes = TPM.pem, **more: bytes):
    return verify_quote(answer or answer_of(QUOTE), key_pem=key, nonce=nonce, **more)


def test_a_good_quote_proves_the_registers():
    assert verified(measurements=PUBLISHED) == {
        "bank": "sha256",
        "pcr": {register: value.hex() for register, value in TPM.values.items()},
        "events": 3,
        "asPublished": ["11"],
    }


def test_a_quote_for_another_nonce_is_refused():
    with pytest.raises(AttestationInvalid, match="another nonce"):
        verified(nonce=NONCE[:-1])


def test_a_quote_of_another_key_is_refused():
    with pytest.raises(AttestationInvalid, match="NOT that of this attestation key"):
        verified(key=HandmadeTpm().pem)


@pytest.mark.parametrize("name", ["quote", "signature"])
def test_every_changed_byte_of_what_the_tpm_gave_is_refused(name):
    given = getattr(QUOTE, name)
    for at in range(len(given)):
        changed = given[:at] + bytes([given[at] ^ 1]) + given[at + 1 :]
        with pytest.raises(InvalidInput):
            verified(answer_of(QUOTE, **{name: b64(changed)}))


@pytest.mark.parametrize("name", ["quote", "signature", "eventLog"])
def test_whatever_is_cut_off_or_added_is_refused(name):
    given = {"quote": QUOTE.quote, "signature": QUOTE.signature, "eventLog": QUOTE.event_log}[name]
    for changed in (given[:-1], given[:9], given + b"\0"):
        with pytest.raises(InvalidInput):
            verified(answer_of(QUOTE, **{name: b64(changed)}))


def test_another_value_of_a_register_is_refused():
    told = {register: value.hex() for register, value in TPM.values.items()}
    for register in told:
        with pytest.raises(AttestationInvalid, match="NOT those that the TPM signed"):
            verified(answer_of(QUOTE, pcr=told | {register: "ab" * 32}))


def test_registers_that_are_missing_or_more_than_signed_are_refused():
    told = {register: value.hex() for register, value in TPM.values.items()}
    for changed in ({}, told | {"9": "00" * 32}, None, [1], told | {"7": 7}, told | {"7": "x"}):
        with pytest.raises(AttestationInvalid):
            verified(answer_of(QUOTE, pcr=changed))


def test_a_changed_digest_of_the_log_is_refused():
    for register, text in BOOT:
        at = TPM.log.index(text) - 5  # The last byte of its digest is before the length.
        changed = TPM.log[:at] + bytes([TPM.log[at] ^ 1]) + TPM.log[at + 1 :]
        with pytest.raises(AttestationInvalid, match=f"value of PCR {register}"):
            verified(answer_of(QUOTE, eventLog=b64(changed)))


def test_an_event_that_is_missing_added_or_elsewhere_is_refused():
    for measured in (BOOT[1:], (*BOOT, (7, b"more")), (*BOOT[:2], (7, BOOT[2][1]))):
        with pytest.raises(AttestationInvalid, match="does NOT lead"):
            verified(answer_of(QUOTE, eventLog=b64(event_log(*measured))))


def test_without_a_log_the_registers_are_proven_all_the_same():
    assert verified(answer_of(QUOTE, eventLog=""))["events"] == 0


def test_the_published_values_may_be_in_capitals():
    capitals = json.dumps({"measurements": {"pcr11": TPM.values["11"].hex().upper()}})
    assert verified(measurements=capitals.encode())["asPublished"] == ["11"]


def test_another_image_is_refused():
    other = json.dumps({"measurements": {"pcr11": "ab" * 32}}).encode()
    with pytest.raises(AttestationInvalid, match="another image"):
        verified(measurements=other)


def test_an_image_with_a_register_that_was_not_signed_is_refused():
    other = json.dumps({"measurements": {"pcr12": "ab" * 32}}).encode()
    with pytest.raises(AttestationInvalid, match="not about PCR 12"):
        verified(measurements=other)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"measurements": 1}',
        '{"measurements": {}}',
        '{"measurements": {"x": 1}}',
        '{"measurements": {"pcr11": "ab"}}',
    ],
)
def test_a_file_without_measurements_is_refused(text):
    with pytest.raises(InvalidInput, match=r"contents\.json"):
        verified(measurements=text.encode())


def test_what_the_key_signed_that_is_no_quote_is_refused():
    for attest in (
        attestation(TPM.values, NONCE, magic=b"\xffTCH"),
        attestation(TPM.values, NONCE).replace(b"\x80\x18", b"\x80\x17", 1),
    ):
        with pytest.raises(AttestationInvalid, match="not a quote"):
            verified(answer_of(TPM.signed(attest)))


def test_a_quote_over_two_banks_is_refused():
    two = attestation(TPM.values, NONCE).replace(pack(">IH", 1, 11), pack(">IH", 2, 11), 1)
    with pytest.raises(AttestationInvalid, match="one bank"):
        verified(answer_of(TPM.signed(two)))


@pytest.mark.parametrize("answer", [b"", b"[]", b"{}", b"\xff", b'{"quote": "?"}', b"[" * 99999])
def test_what_is_no_answer_at_all_is_refused(answer):
    with pytest.raises(AttestationInvalid):
        verify_quote(answer, key_pem=TPM.pem, nonce=NONCE)


def test_a_key_of_another_kind_is_refused():
    for key in (b"", b"-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n"):
        with pytest.raises(InvalidInput):
            verified(key=key or b"?")
    with pytest.raises(InvalidInput):
        pem_of(b"?")
    assert pem_of(TPM.public_der) == TPM.pem


def test_a_start_from_another_locality_is_part_of_the_first_register():
    digest = bytes(range(32))
    locality = event(0, NO_ACTION, bytes(32), b"StartupLocality\0\x03")
    log = header() + locality + event(0, EV_POST_CODE, digest)
    assert replay(log, "sha256").registers == {0: extended(bytes(31) + b"\x03", digest)}
    # Said later, it changes nothing.
    late = header() + event(0, EV_POST_CODE, digest) + locality
    assert replay(late, "sha256").registers == {0: extended(bytes(32), digest)}


def test_a_log_of_another_format_is_refused():
    for log in (
        b"x",
        header().replace(b"Event03", b"Event00"),
        header() + pack("<IIIH", 0, 1, 1, 0x7777),
        header() + event(0, EV_POST_CODE, bytes(32)).replace(pack("<H", 11), pack("<H", 0x12), 1),
    ):
        with pytest.raises(InvalidInput):
            replay(log, "sha256")


def test_registers_that_nothing_was_measured_into_are_zero():
    tpm = HandmadeTpm(((0, b"firmware"),))
    assert tpm.values == after((0, b"firmware"))
    told = verify_quote(answer_of(tpm.signed(b"", NONCE)), key_pem=tpm.pem, nonce=NONCE)
    assert told["pcr"]["7"] == "00" * 32
