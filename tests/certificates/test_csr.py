import ipaddress
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from keystead import algorithms
from keystead.certificates.csr import SubjectName, make_csr
from keystead.errors import InvalidInput
from keystead.model.keys import PrivateMaterial
from tests.support.uses import SIGNERS

RSA_PEM = (Path(__file__).parent.parent / "vectors" / "keys" / "rsa-2048.pem").read_bytes()
HOST = SubjectName(common_name="host.example")
DIGESTS = {
    "RSA": hashes.SHA256,
    "Curve25519": None,
    "EC_P256": hashes.SHA256,
    "EC_P384": hashes.SHA384,
    "EC_P521": hashes.SHA512,
    "EC_P256K1": hashes.SHA256,
    "BrainpoolP256": hashes.SHA256,
    "BrainpoolP384": hashes.SHA384,
    "BrainpoolP512": hashes.SHA512,
    "Ed448": None,
    "ML_DSA_44": None,
    "ML_DSA_65": None,
    "ML_DSA_87": None,
}


def key(type_name: str = "EC_P256") -> algorithms.PrivateKey:
    if type_name == "RSA":
        return algorithms.load(PrivateMaterial(pem=RSA_PEM))
    return algorithms.BY_NAME[type_name].generate(256)


def request(subject: SubjectName) -> x509.CertificateSigningRequest:
    return x509.load_pem_x509_csr(make_csr(key(), subject))


def names(subject: SubjectName) -> list[object] | None:
    try:
        extension = request(subject).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return None
    return [name.value for name in extension.value]


def test_every_type_that_signs_makes_requests():
    assert set(DIGESTS) == {row.name for row in SIGNERS}


@pytest.mark.parametrize("type_name", DIGESTS)
def test_a_request_is_signed_by_its_key_with_the_hash_of_its_type(type_name):
    private = key(type_name)
    read = x509.load_pem_x509_csr(make_csr(private, HOST))
    assert read.is_signature_valid
    digest = DIGESTS[type_name]
    assert read.signature_hash_algorithm == (digest and digest())
    assert read.public_key() == private.certificate_signer().key.public_key()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl command here")
@pytest.mark.parametrize("type_name", [name for name in DIGESTS if not name.startswith("ML_DSA")])
def test_the_openssl_command_verifies_a_request(type_name):
    verified = subprocess.run(
        ["openssl", "req", "-verify", "-noout"],  # noqa: S607  any openssl will do
        input=make_csr(key(type_name), HOST),
        capture_output=True,
        check=False,
    )
    assert verified.returncode == 0, verified.stderr
    assert b"verify OK" in verified.stdout + verified.stderr


def test_a_generic_key_makes_no_request():
    with pytest.raises(InvalidInput, match="Generic keys cannot sign a certificate request"):
        make_csr(key("Generic"), HOST)


def test_attributes_come_in_order_and_empty_ones_are_left_out():
    full = SubjectName(
        common_name="nethsm.local",
        country="DE",
        locality="Köln",
        state="NRW",
        organization="Example GmbH & Söhne",
        organizational_unit="Keys",
        email="info@example.com",
    )
    assert [(entry.oid, entry.value) for entry in request(full).subject] == [
        (NameOID.COMMON_NAME, "nethsm.local"),
        (NameOID.COUNTRY_NAME, "DE"),
        (NameOID.LOCALITY_NAME, "Köln"),
        (NameOID.STATE_OR_PROVINCE_NAME, "NRW"),
        (NameOID.ORGANIZATION_NAME, "Example GmbH & Söhne"),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, "Keys"),
        (NameOID.EMAIL_ADDRESS, "info@example.com"),
    ]
    assert [entry.oid for entry in request(replace(full, state="", email="")).subject] == [
        NameOID.COMMON_NAME,
        NameOID.COUNTRY_NAME,
        NameOID.LOCALITY_NAME,
        NameOID.ORGANIZATION_NAME,
        NameOID.ORGANIZATIONAL_UNIT_NAME,
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"common_name": ""},
        {"common_name": "x" * 65},
        {"common_name": "ü" * 65},
        {"common_name": "good.example\0.evil.example"},
        {"common_name": "\ud800"},
        {"country": "D"},
        {"country": "DEU"},
        {"country": "D€"},
        {"country": "12"},
        {"email": "ü@example.com"},
        {"locality": "line\nbreak"},
        {"locality": "x" * 129},
        {"state": "ü" * 129},
        {"organization": "x" * 65},
        {"organizational_unit": "x" * 65},
        {"email": "x" * 245 + "@example.org"},
        {"state": "\x1b[31m"},
        {"organizational_unit": "\u202e"},
    ],
    ids=ascii,
)
def test_an_attribute_that_does_not_fit_is_refused(changes):
    with pytest.raises(InvalidInput, match=r"^(commonN|countryN|email|local|organ|state)"):
        make_csr(key(), replace(HOST, **changes))


@pytest.mark.parametrize("letter", ["x", "ü", "認"])
def test_the_upper_bounds_count_characters(letter):
    longest = SubjectName(
        common_name=letter * 64,
        locality=letter * 128,
        state=letter * 128,
        organization=letter * 64,
        organizational_unit=letter * 64,
        email="x" * 243 + "@example.org",
    )
    der = x509.load_pem_x509_csr(make_csr(key(), longest)).public_bytes(Encoding.DER)
    for length in (64, 128):
        assert (letter * length).encode() in der


def test_without_alternative_names_the_common_name_stands_for_itself():
    assert names(HOST) == ["host.example"]
    assert names(SubjectName(common_name="*.host.example")) == ["*.host.example"]
    assert names(SubjectName(common_name="192.0.2.1")) == [ipaddress.ip_address("192.0.2.1")]
    assert names(SubjectName(common_name="2001:db8::1")) == [ipaddress.ip_address("2001:db8::1")]


@pytest.mark.parametrize(
    "common_name", ["Code Signing 2026", "Jörg", "host.", ".host", "a..b", "-a", "fe80::1%eth0"]
)
def test_a_common_name_that_is_no_host_adds_no_extension(common_name):
    assert names(SubjectName(common_name=common_name)) is None


def test_an_empty_list_adds_no_extension():
    assert names(replace(HOST, subject_alt_names=())) is None


def test_alternative_names_are_dns_names_and_addresses():
    given_names = (
        "a.example",
        "*.b.example",
        "_x.example",
        "IP:192.0.2.1",
        "IP:2001:db8::1",
        "192.0.2.2",
        "2001:db8::2",
    )
    assert names(replace(HOST, subject_alt_names=given_names)) == [
        "a.example",
        "*.b.example",
        "_x.example",
        ipaddress.ip_address("192.0.2.1"),
        ipaddress.ip_address("2001:db8::1"),
        ipaddress.ip_address("192.0.2.2"),
        ipaddress.ip_address("2001:db8::2"),
    ]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("IP:", "not an IP address"),
        ("IP:host.example", "not an IP address"),
        ("IP:192.0.2.256", "not an IP address"),
        ("IP:192.0.2.0/24", "not an IP address"),
        ("IP:fe80::1%eth0", "not an IP address"),
        ("192.0.2.256", "neither a DNS name nor an IP address"),
        ("192.0.2.01", "neither a DNS name nor an IP address"),
        ("[2001:db8::1]", "neither a DNS name nor an IP address"),
        ("fe80::1%eth0", "neither a DNS name nor an IP address"),
        ("", "neither a DNS name nor an IP address"),
        ("bücher.example", "'bücher.example' is neither .*xn--"),
        ("two words", "neither a DNS name nor an IP address"),
        ("a.*.example", "neither a DNS name nor an IP address"),
        ("a." * 127 + "b", "neither a DNS name nor an IP address"),
        ("x" * 64 + ".example", "neither a DNS name nor an IP address"),
        ("host.example\n", "neither a DNS name nor an IP address"),
        ("\ud800", "neither a DNS name nor an IP address"),
    ],
    ids=ascii,
)
def test_a_malformed_alternative_name_is_refused(name, message):
    with pytest.raises(InvalidInput, match=message):
        make_csr(key(), replace(HOST, subject_alt_names=("good.example", name)))


ANY_TEXT = st.text(st.characters(), max_size=70)


@settings(max_examples=60, deadline=None)
@given(
    subject=st.builds(
        SubjectName,
        common_name=ANY_TEXT,
        country=st.text(max_size=3),
        state=ANY_TEXT,
        email=ANY_TEXT,
        subject_alt_names=st.none() | st.lists(ANY_TEXT, max_size=2).map(tuple),
    )
)
def test_any_text_gives_a_request_that_says_it_or_a_refusal(subject):
    try:
        read = x509.load_pem_x509_csr(make_csr(key(), subject))
    except InvalidInput as error:
        error.message.encode()
        return
    assert read.is_signature_valid
    assert read.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == subject.common_name
