"""Every call of the SDK about keys."""

import hashlib
from base64 import b64decode

import nethsm
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_public_key,
)
from nethsm import Base64, KeyMechanism, KeyType

from keystead import algorithms
from keystead.algorithms import DECRYPT, SIGN
from tests.support.verification import (
    aes_cbc,
    encrypted_for,
    signature_holds,
    what_to_sign,
)

# The certificate is self-signed, for no address.
pytestmark = pytest.mark.filterwarnings("ignore:Unverified HTTPS request")

AES_KEY = bytes(range(32))
IV = bytes(range(16))


def error(match: str):
    return pytest.raises(nethsm.NetHSMError, match=match)


SDK_MECHANISMS = {one.value for one in KeyMechanism}
SDK_TYPES = {one.value for one in KeyType}
KNOWN = [row for row in algorithms.ALL if row.name in SDK_TYPES]
UNKNOWN = [row for row in algorithms.ALL if row.name not in SDK_TYPES]


def known_mechanisms(row: algorithms.Algorithm) -> list[KeyMechanism]:
    """Return what keys of this type can do that the SDK has a name for."""
    names = dict.fromkeys(one.name for one in row.mechanisms)
    return [KeyMechanism(name) for name in names if name in SDK_MECHANISMS]


@pytest.fixture(scope="module", autouse=True)
def keys(hsm) -> None:
    """A key of each type, named as it, for all that the SDK has names for; `AES` is known."""
    for row in KNOWN:
        mechanisms = known_mechanisms(row)
        # The SDK sends a length for every type.
        length = 2048 if row.name == "RSA" else 256
        made = hsm.admin.generate_key(KeyType(row.name), mechanisms, length, row.name)
        assert made == row.name
    hsm.admin.add_key(
        "AES",
        KeyType.GENERIC,
        [KeyMechanism.AES_ENCRYPTION_CBC, KeyMechanism.AES_DECRYPTION_CBC],
        nethsm.GenericPrivateKey(Base64.encode(AES_KEY)),
    )


def as_the_api_shows(key: nethsm.Key) -> dict:
    """Return what `tests.support.verification` reads."""
    if isinstance(key.public_key, nethsm.RsaPublicKey):
        public = {
            "modulus": key.public_key.modulus.data,
            "publicExponent": key.public_key.public_exponent.data,
        }
    else:
        assert isinstance(key.public_key, nethsm.EcPublicKey)
        public = {"data": key.public_key.data.data}
    return {"type": key.type.value, "public": public}


# --- show ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", KNOWN, ids=lambda row: row.name)
def test_a_key_of_every_type_is_read(hsm, row) -> None:
    key = hsm.admin.get_key(row.name)
    assert key.type is KeyType(row.name)
    assert key.mechanisms == known_mechanisms(row)
    assert (key.operations, key.tags, key.label) == (0, [], None)
    if row.name == "Generic":
        assert key.public_key is None
        with error("400"):
            hsm.admin.get_key_public_key(row.name)
    else:
        assert key.public_key is not None
        pem = hsm.admin.get_key_public_key(row.name)
        assert load_pem_public_key(pem.encode())


@pytest.mark.parametrize("row", UNKNOWN, ids=lambda row: row.name)
def test_a_key_of_a_type_that_the_sdk_does_not_know_breaks_no_other_call(hsm, row) -> None:
    names = [one.name for one in row.mechanisms]
    wanted = {"id": row.name, "type": row.name, "mechanisms": sorted(set(names))}
    assert hsm.server.request("POST", "/keys/generate", user="admin", json=wanted).status == 201
    assert row.name in hsm.admin.list_keys()
    with pytest.raises(ValueError, match="Invalid value"):
        hsm.admin.get_key(row.name)
    assert load_pem_public_key(hsm.admin.get_key_public_key(row.name).encode())
    hsm.admin.add_key_tag(row.name, "tag")
    assert hsm.admin.get_key("EC_P256").type is KeyType.EC_P256
    hsm.admin.delete_key(row.name)
    assert row.name not in hsm.admin.list_keys()


def test_keys_are_listed_by_prefix_label_and_filter(hsm, operator) -> None:
    assert set(hsm.admin.list_keys()) >= {row.name for row in KNOWN}
    curves = ["EC_P256", "EC_P256K1", "EC_P384", "EC_P521"]
    assert hsm.admin.list_keys(prefix="EC_") == curves
    assert operator.list_keys(prefix="Nothing") == []
    hsm.admin.generate_key(
        KeyType.EC_P256, [KeyMechanism.ECDSA_SIGNATURE], 256, "labelled", "a label ✓"
    )
    assert hsm.admin.list_keys(label="a label ✓") == ["labelled"]
    assert hsm.admin.list_keys(prefix="lab", label="a label ✓") == ["labelled"]
    hsm.admin.add_key_tag("labelled", "secret")
    assert "labelled" in operator.list_keys()
    assert "labelled" not in operator.list_keys(filter="yes")
    hsm.admin.delete_key("labelled")
    assert "labelled" not in hsm.admin.list_keys()


# --- make ----------------------------------------------------------------------------------------


def test_an_id_is_made_up(hsm) -> None:
    made = hsm.admin.generate_key(KeyType.EC_P256, [KeyMechanism.ECDSA_SIGNATURE], 256)
    assert hsm.admin.get_key(made).key_id == made
    scalar = nethsm.GenericPrivateKey(Base64.encode(bytes(31) + b"\1"))
    added = hsm.admin.add_key(None, KeyType.EC_P256, [KeyMechanism.ECDSA_SIGNATURE], scalar)
    assert hsm.admin.get_key(added).type is KeyType.EC_P256


def test_a_key_is_added_by_its_numbers_with_tags_and_label(hsm) -> None:
    numbers = rsa.generate_private_key(65537, 2048).private_numbers()
    private = nethsm.RsaPrivateKey(
        *(
            Base64.encode(number.to_bytes((number.bit_length() + 7) // 8))
            for number in (numbers.p, numbers.q, numbers.public_numbers.e)
        )
    )
    mechanisms = [KeyMechanism.RSA_SIGNATURE_PKCS1]
    hsm.admin.add_key("numbers", KeyType.RSA, mechanisms, private, ["b", "a"], "label")
    key = hsm.admin.get_key("numbers")
    assert (key.tags, key.label, key.mechanisms) == (["a", "b"], "label", mechanisms)
    assert int.from_bytes(key.public_key.modulus.decode()) == numbers.public_numbers.n
    with error("Conflict -- a key with the ID numbers already exists"):
        hsm.admin.add_key("numbers", KeyType.RSA, mechanisms, private)


@pytest.mark.parametrize("key_id", ["from-pem", None])
def test_a_key_is_added_from_pem_with_tags_and_label(hsm, key_id) -> None:
    private = ec.generate_private_key(ec.SECP384R1())
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    mechanisms = [KeyMechanism.ECDSA_SIGNATURE]
    made = hsm.admin.add_key_pem(key_id, mechanisms, pem, ["tag"], "a label")
    key = hsm.admin.get_key(made)
    assert (key.type, key.tags, key.label) == (KeyType.EC_P384, ["tag"], "a label")
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert hsm.admin.get_key_public_key(made) == public.decode()
    with error("Bad request"):
        hsm.admin.add_key_pem("no-pem", mechanisms, "not a pem")


def test_what_is_wrong_with_a_new_key_is_said(hsm) -> None:
    with error("Mechanism does not match key type"):
        hsm.admin.generate_key(KeyType.EC_P256, [KeyMechanism.EDDSA_SIGNATURE], 256)
    with error("Conflict -- a key with the ID EC_P256 already exists"):
        hsm.admin.generate_key(KeyType.EC_P256, [KeyMechanism.ECDSA_SIGNATURE], 256, "EC_P256")
    with error("RSA keys have 1024 to 8192 bits"):
        hsm.admin.generate_key(KeyType.RSA, [KeyMechanism.RSA_SIGNATURE_PKCS1], 1000)


# --- change --------------------------------------------------------------------------------------


def test_a_label_is_set_changed_and_removed(hsm) -> None:
    hsm.admin.set_key_label("EC_P521", "mine")
    assert hsm.admin.get_key("EC_P521").label == "mine"
    hsm.admin.set_key_label("EC_P521", "mine")  # 304 is no error to the SDK
    assert hsm.admin.get_key("EC_P521").label == "mine"
    hsm.admin.set_key_label("EC_P521", None)
    assert hsm.admin.get_key("EC_P521").label is None
    with error("Key nothing not found"):
        hsm.admin.set_key_label("nothing", "x")


def test_a_tag_is_added_and_removed(hsm) -> None:
    for _ in range(2):  # 304 is no error to the SDK
        hsm.admin.add_key_tag("EC_P521", "tag")
        assert hsm.admin.get_key("EC_P521").tags == ["tag"]
    hsm.admin.delete_key_tag("EC_P521", "tag")
    assert hsm.admin.get_key("EC_P521").tags == []
    with error("Key EC_P521 or tag tag not found"):
        hsm.admin.delete_key_tag("EC_P521", "tag")
    with error("Key nothing not found"):
        hsm.admin.add_key_tag("nothing", "tag")


def test_a_key_is_moved(hsm) -> None:
    hsm.admin.generate_key(KeyType.EC_P256, [KeyMechanism.ECDSA_SIGNATURE], 256, "old")
    hsm.admin.move_key("old", "new")
    assert hsm.admin.get_key("new").type is KeyType.EC_P256
    with error("Key old not found"):
        hsm.admin.get_key("old")
    with error("Key old not found"):
        hsm.admin.move_key("old", "newer")
    with error("Conflict -- a key with the ID EC_P256 already exists"):
        hsm.admin.move_key("new", "EC_P256")


def test_a_key_is_deleted(hsm) -> None:
    hsm.admin.generate_key(KeyType.EC_P256, [KeyMechanism.ECDSA_SIGNATURE], 256, "doomed")
    hsm.admin.delete_key("doomed")
    with error("Key doomed not found"):
        hsm.admin.delete_key("doomed")


# --- certificates --------------------------------------------------------------------------------


@pytest.mark.parametrize("certificate", [b"-----BEGIN\n", b"\x00\xff\r\n", bytes(1000)])
def test_a_certificate_is_stored_read_and_deleted(hsm, operator, certificate) -> None:
    hsm.admin.set_key_certificate("EC_P256", certificate)
    assert operator.get_key_certificate("EC_P256") == certificate
    with error("Conflict -- key EC_P256 already has a certificate"):
        hsm.admin.set_key_certificate("EC_P256", certificate)
    hsm.admin.delete_key_certificate("EC_P256")
    with error("Certificate for key EC_P256 not found"):
        hsm.admin.get_key_certificate("EC_P256")
    with error("There is no certificate for EC_P256"):
        hsm.admin.delete_key_certificate("EC_P256")
    with error("Key nothing not found"):
        hsm.admin.set_key_certificate("nothing", certificate)


def test_a_signing_request_carries_the_subject(operator) -> None:
    pem = operator.key_csr(
        "EC_P256",
        common_name="keystead.example",
        country="DE",
        organization="Example",
        subject_alt_names=["a.example", "IP:192.0.2.1"],
    )
    request = x509.load_pem_x509_csr(pem.encode())
    assert request.is_signature_valid
    assert request.subject.rfc4514_string() == "O=Example,C=DE,CN=keystead.example"
    with error("Key nothing not found"):
        operator.key_csr("nothing", common_name="x")


# --- use -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key_type", "mode"),
    [
        (row.name, one.mode)
        for row in KNOWN
        for one in row.mechanisms
        if one.use is SIGN and one.name in SDK_MECHANISMS
    ],
)
def test_the_sdk_signs(hsm, operator, key_type, mode) -> None:
    message = what_to_sign(key_type, mode)
    signature = operator.sign(key_type, Base64.encode(message), nethsm.SignMode(mode))
    shown = as_the_api_shows(hsm.admin.get_key(key_type))
    assert signature_holds(shown, mode, message, b64decode(signature.data))


@pytest.mark.parametrize(
    "mode", [one.mode for one in algorithms.BY_NAME["RSA"].mechanisms if one.use is DECRYPT]
)
def test_the_sdk_decrypts(hsm, operator, mode) -> None:
    public = as_the_api_shows(hsm.admin.get_key("RSA"))["public"]
    encrypted = Base64.encode(encrypted_for(public, mode, b"message"))
    decrypted = operator.decrypt("RSA", encrypted, nethsm.DecryptMode(mode)).decode()
    assert decrypted.lstrip(b"\0") == b"message"


def test_the_sdk_encrypts_and_decrypts_with_aes(operator) -> None:
    message = Base64.encode(bytes(48))
    iv = Base64.encode(IV)
    result = operator.encrypt("AES", message, nethsm.EncryptMode.AES_CBC, iv)
    assert result.encrypted.decode() == aes_cbc(AES_KEY, IV).encrypt(bytes(48))
    assert result.iv == iv
    decrypted = operator.decrypt("AES", result.encrypted, nethsm.DecryptMode.AES_CBC, iv)
    assert decrypted == message
    made = operator.encrypt("AES", message, nethsm.EncryptMode.AES_CBC)
    assert aes_cbc(AES_KEY, made.iv.decode()).decrypt(made.encrypted.decode()) == bytes(48)
    with error("Bad request -- e. g. invalid encryption mode, or wrong padding"):
        operator.encrypt("AES", Base64.encode(b"x"), nethsm.EncryptMode.AES_CBC)


def test_uses_are_counted(hsm, operator) -> None:
    before = hsm.admin.get_key("EC_P384").operations
    digest = Base64.encode(hashlib.sha384(b"x").digest())
    for _ in range(3):
        operator.sign("EC_P384", digest, nethsm.SignMode.ECDSA)
    assert hsm.admin.get_key("EC_P384").operations == before + 3


def test_what_is_wrong_with_a_use_is_said(hsm, operator) -> None:
    digest = Base64.encode(bytes(32))
    with error("Key nothing not found"):
        operator.sign("nothing", digest, nethsm.SignMode.ECDSA)
    with error("sign a digest of 48 bytes, not 32"):
        operator.sign("EC_P384", digest, nethsm.SignMode.ECDSA)
    with error("Access denied -- this operation requires the role Operator"):
        hsm.admin.sign("EC_P256", digest, nethsm.SignMode.ECDSA)
    with error("Decryption failure"):
        operator.decrypt("RSA", Base64.encode(b"\1" * 256), nethsm.DecryptMode.OAEP_SHA256)


def test_tags_decide_who_uses_a_key(hsm, operator) -> None:
    digest = Base64.encode(bytes(32))
    hsm.admin.add_key_tag("EC_P256K1", "berlin")
    with error("Access denied"):
        operator.sign("EC_P256K1", digest, nethsm.SignMode.ECDSA)
    hsm.admin.add_operator_tag("operator", "berlin")
    assert operator.sign("EC_P256K1", digest, nethsm.SignMode.ECDSA)
    hsm.admin.delete_key_tag("EC_P256K1", "berlin")
    hsm.admin.delete_operator_tag("operator", "berlin")


def test_random_data_has_the_length_asked_for(operator) -> None:
    assert len(operator.get_random_data(1024).decode()) == 1024
