"""The types of stored keys: told by PKCS #8's algorithm identifier where it is known."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from keystead import algorithms
from keystead.errors import CorruptRecord
from keystead.model.keys import PrivateMaterial
from keystead.storage import key_types
from keystead.storage.key_types import KeyTypes


def material(curve: ec.EllipticCurve, form: PrivateFormat = PrivateFormat.PKCS8) -> PrivateMaterial:
    key = ec.generate_private_key(curve)
    return PrivateMaterial(pem=key.private_bytes(Encoding.PEM, form, NoEncryption()))


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[PrivateMaterial]:
    """The keys that were parsed."""
    seen: list[PrivateMaterial] = []
    load = algorithms.load

    def noting(one: PrivateMaterial):
        seen.append(one)
        return load(one)

    monkeypatch.setattr(algorithms, "load", noting)
    return seen


def test_one_key_of_a_type_is_parsed_and_no_other(parsed: list[PrivateMaterial]) -> None:
    types = KeyTypes()
    keys = [material(curve) for curve in (ec.SECP256R1(), ec.SECP384R1(), ec.SECP256R1())]
    assert [types.of(key) for key in keys] == ["EC_P256", "EC_P384", "EC_P256"]
    assert parsed == keys[:2]


def test_keys_in_other_forms_are_parsed(parsed: list[PrivateMaterial]) -> None:
    types = KeyTypes()
    traditional = material(ec.SECP256R1(), PrivateFormat.TraditionalOpenSSL)
    keys = [traditional, PrivateMaterial(raw=bytes(32))]
    for _ in range(2):
        assert [types.of(key) for key in keys] == ["EC_P256", "Generic"]
    assert parsed == keys * 2


def test_no_more_identifiers_are_kept_than_there_is_room_for(
    parsed: list[PrivateMaterial], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_types, "MOST_KNOWN", 1)
    types = KeyTypes()
    keys = [material(ec.SECP256R1()), material(ec.SECP384R1())]
    for _ in range(2):
        assert [types.of(key) for key in keys] == ["EC_P256", "EC_P384"]
    assert parsed == [*keys, keys[1]]


@pytest.mark.parametrize("content", [b"A", b"", b"MAA=", b"MAgCAQAwMDAwMDAw", b"AgEAMA=="])
def test_what_is_no_key_is_corrupt(content: bytes) -> None:
    pem = b"-----BEGIN PRIVATE KEY-----\n" + content + b"\n-----END PRIVATE KEY-----\n"
    with pytest.raises(CorruptRecord):
        KeyTypes().of(PrivateMaterial(pem=pem))
