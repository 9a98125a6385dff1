import ssl
from datetime import UTC, datetime, timedelta

import cryptography_vectors
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from keystead import algorithms
from keystead.certificates.chains import (
    CLOCK_SKEW,
    MAX_CHAIN_BYTES,
    normalized_authority,
    normalized_chain,
    require_serving,
    require_signed_by,
    require_trusted,
)
from keystead.certificates.tls_identity import make_tls_identity, self_signed_chain
from keystead.errors import InvalidInput, WrongState
from tests.support.authority import (
    AUTHORITY,
    BEGIN,
    END,
    MAY_SIGN_CERTIFICATES,
    Authority,
    name,
)

ROOT = Authority("root")
MIDDLE = Authority("middle", above=ROOT)
KEY, SELF_SIGNED = make_tls_identity("hsm.example")
PUBLIC = x509.load_pem_x509_certificate(SELF_SIGNED).public_key()


def server_certificate(authority: Authority) -> bytes:
    return authority.certify(PUBLIC, name("hsm.example")).public_bytes(Encoding.PEM)


SERVER = server_certificate(MIDDLE)


@pytest.mark.parametrize(
    "chain",
    [SELF_SIGNED, SERVER, SERVER + MIDDLE.pem, SERVER + MIDDLE.pem + ROOT.pem],
    ids=["self-signed", "alone", "with its issuer", "with the root"],
)
def test_a_chain_in_order_is_taken_as_it_is(chain):
    assert normalized_chain(chain) == chain


def test_text_between_certificates_is_dropped():
    commented = b"subject=CN=hsm\r\n" + SERVER + b"\nissuer:\n" + MIDDLE.pem + b"the end"
    assert normalized_chain(commented) == SERVER + MIDDLE.pem


@pytest.mark.parametrize(
    ("chain", "message"),
    [
        (SERVER + ROOT.pem, "Certificate 1 is not issued by certificate 2"),
        (MIDDLE.pem + SERVER, "Certificate 1 is not issued by certificate 2"),
        (SERVER + MIDDLE.pem + MIDDLE.pem, "Certificate 2 is not issued by certificate 3"),
        (SERVER + SERVER, "Certificate 1 is not issued by certificate 2"),
        (SERVER + KEY.reveal(), "something other than certificates: 'PRIVATE KEY'"),
        (SERVER.replace(b"CERTIFICATE", b"X509 CRL"), "something other than certificates"),
        (SERVER[:-60], "no valid certificate"),
        (b"", "no valid certificate"),
        (b"\xff\x00" * 100, "no valid certificate"),
    ],
)
def test_what_is_no_chain_in_order_is_refused(chain, message):
    with pytest.raises(InvalidInput, match=message):
        normalized_chain(chain)


def test_an_issuer_of_the_right_name_and_another_key_is_refused():
    other = Authority("middle", above=ROOT)
    with pytest.raises(InvalidInput, match="Certificate 1 is not issued"):
        normalized_chain(SERVER + other.pem)


def test_a_chain_that_no_client_would_read_is_refused():
    bulky = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.9.9"), bytes(MAX_CHAIN_BYTES))
    certificate = MIDDLE.certify(PUBLIC, name("hsm.example"), (bulky,))
    with pytest.raises(InvalidInput, match=f"longer than {MAX_CHAIN_BYTES} bytes"):
        normalized_chain(certificate.public_bytes(Encoding.PEM))


def test_a_refusal_never_shows_the_key_that_was_pasted_in():
    with pytest.raises(InvalidInput) as caught:
        normalized_chain(SERVER + KEY.reveal())
    assert KEY.reveal().decode().splitlines()[1] not in caught.value.message


# --- authorities ---------------------------------------------------------------------------------


@pytest.mark.parametrize("authority", [ROOT, MIDDLE], ids=["self-signed", "intermediate"])
def test_an_authority_is_taken_as_it_is(authority):
    assert normalized_authority(b"comment\n" + authority.pem) == authority.pem


@pytest.mark.parametrize(
    "extensions",
    [
        (),
        AUTHORITY[:1],
        AUTHORITY[1:],
        (x509.BasicConstraints(ca=False, path_length=None), MAY_SIGN_CERTIFICATES),
    ],
    ids=["nothing", "no keyUsage", "no basicConstraints", "CA false"],
)
def test_a_certificate_that_may_not_sign_others_is_no_authority(extensions):
    with pytest.raises(InvalidInput, match="not that of a certificate authority"):
        normalized_authority(Authority("root", extensions=extensions).pem)


def test_a_server_certificate_is_no_authority():
    with pytest.raises(InvalidInput, match="not that of a certificate authority"):
        normalized_authority(SELF_SIGNED)


def test_two_authorities_are_refused():
    with pytest.raises(InvalidInput, match="Expected one certificate, not 2"):
        normalized_authority(ROOT.pem + MIDDLE.pem)


@pytest.mark.parametrize(
    ("authority", "chain"),
    [
        (MIDDLE, SERVER),
        (MIDDLE, SERVER + MIDDLE.pem),
        (ROOT, SERVER + MIDDLE.pem),
        (ROOT, SERVER + MIDDLE.pem + ROOT.pem),
        (ROOT, ROOT.pem),
    ],
)
def test_an_authority_vouches_for_what_it_signed(authority, chain):
    require_signed_by(authority.pem, chain)


@pytest.mark.parametrize(
    "chain",
    [SERVER, SELF_SIGNED, server_certificate(Authority("root"))],
    ids=["its middle is missing", "self-signed", "a namesake's"],
)
def test_an_authority_does_not_vouch_for_others(chain):
    with pytest.raises(WrongState, match="not signed by the cluster CA"):
        require_signed_by(ROOT.pem, chain)


def test_a_certificate_of_the_authority_cannot_pass_its_trust_on():
    impostor = Authority("server", extensions=(), above=ROOT)
    chain = normalized_chain(server_certificate(impostor) + impostor.pem)
    with pytest.raises(WrongState):
        require_signed_by(ROOT.pem, chain)


NOW = datetime(2026, 6, 1, tzinfo=UTC)
SERVER_AUTH = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
CLIENT_AUTH = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.9.9"), b"\x05\x00")
ANY_USAGE = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE])


def served(*extensions: x509.ExtensionType) -> bytes:
    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    certificate = Authority("root").certify(public, name("server"), extensions)
    return certificate.public_bytes(Encoding.PEM)


def usage(**bits: bool) -> x509.KeyUsage:
    names = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**{one: bits.get(one, False) for one in names})


@pytest.mark.parametrize(
    "extensions",
    [
        (),
        (SERVER_AUTH,),
        (x509.ExtendedKeyUsage([*SERVER_AUTH, *ANY_USAGE]),),
        (usage(digital_signature=True),),
        (usage(digital_signature=True, key_encipherment=True), SERVER_AUTH),
        (x509.BasicConstraints(ca=True, path_length=0),),  # As `openssl req -x509` makes them.
    ],
)
def test_a_certificate_that_clients_accept_is_served(extensions):
    require_serving(served(*extensions), NOW)


@pytest.mark.parametrize(
    ("extensions", "message"),
    [
        ((CLIENT_AUTH,), "lacks serverAuth"),
        ((ANY_USAGE,), "lacks serverAuth"),
        ((usage(key_cert_sign=True, crl_sign=True),), "lacks digitalSignature"),
        ((usage(key_encipherment=True),), "lacks digitalSignature"),
        ((usage(key_agreement=True),), "lacks digitalSignature"),
        ((UNKNOWN,), r"do not know: 1\.3\.9\.9"),
    ],
)
def test_a_certificate_that_is_not_for_tls_servers_is_refused(extensions, message):
    with pytest.raises(InvalidInput, match=message):
        require_serving(served(*extensions), NOW)


def test_a_certificate_is_valid_at_the_time_of_the_hsm():
    chain = served()
    for moment in (BEGIN - CLOCK_SKEW, BEGIN, NOW, END):
        require_serving(chain, moment)
    with pytest.raises(InvalidInput, match="is not valid before 2020-01-01T00:00:00Z"):
        require_serving(chain, BEGIN - CLOCK_SKEW - timedelta(seconds=1))
    with pytest.raises(InvalidInput, match="expired on"):
        require_serving(chain, END + timedelta(seconds=1))


def test_a_certificate_signed_with_sha_1_is_refused():
    # OpenSSL signs with SHA-1 no more: the file is an old one, of the library's test vectors.
    with cryptography_vectors.open_vector_file("x509/ee-pss-sha1-cert.pem", "rb") as file:
        pem = file.read()
    certificate = x509.load_pem_x509_certificate(pem)
    assert certificate.signature_hash_algorithm.name in {"sha1", "md5"}
    with pytest.raises(InvalidInput, match="which clients refuse"):
        require_serving(pem, certificate.not_valid_before_utc)


PATH_OF_NONE = (x509.BasicConstraints(ca=True, path_length=0), MAY_SIGN_CERTIFICATES)


@pytest.mark.parametrize(
    "extensions",
    [(), (x509.BasicConstraints(ca=False, path_length=None),), (*AUTHORITY[:1], usage())],
    ids=["nothing", "CA false", "no keyCertSign"],
)
def test_a_chain_whose_issuer_may_not_issue_is_refused(extensions):
    issuer = Authority("middle", extensions=extensions, above=ROOT)
    with pytest.raises(InvalidInput, match="Certificate 2 may not issue the one before"):
        require_serving(server_certificate(issuer) + issuer.pem + ROOT.pem, NOW)


def test_an_issuer_bounds_how_many_are_below_it():
    upper = Authority("upper", extensions=PATH_OF_NONE, above=ROOT)
    lower = Authority("lower", above=upper)
    require_serving(server_certificate(upper) + upper.pem + ROOT.pem, NOW)
    with pytest.raises(InvalidInput, match="Certificate 3 may not issue the one before"):
        require_serving(server_certificate(lower) + lower.pem + upper.pem, NOW)


def test_an_authority_that_clients_refuse_is_refused():
    require_trusted(ROOT.pem, NOW)
    with pytest.raises(InvalidInput, match="expired on"):
        require_trusted(ROOT.pem, END + timedelta(seconds=1))
    client_only = Authority("root", extensions=(*AUTHORITY, CLIENT_AUTH))
    with pytest.raises(InvalidInput, match="lacks serverAuth"):
        require_trusted(client_only.pem, NOW)


def test_a_certificate_may_have_names_of_64_characters_and_more_bytes():
    """The library warns when such a name is read, and a warning is an error in these tests."""
    key = algorithms.BY_NAME["EC_P256"].generate(None)
    require_serving(self_signed_chain(key, "ü" * 64), NOW)


def test_a_certificate_signed_with_an_unknown_algorithm_is_refused():
    ecdsa_with_sha256, unknown = (bytes.fromhex(f"06082a8648ce3d0403{end}") for end in ("02", "7f"))
    der = x509.load_pem_x509_certificate(served()).public_bytes(Encoding.DER)
    with pytest.raises(InvalidInput, match="unknown algorithm"):
        require_serving(pem_of(der.replace(ecdsa_with_sha256, unknown)), NOW)


def pem_of(der: bytes) -> bytes:
    return ssl.DER_cert_to_PEM_cert(der).encode()
