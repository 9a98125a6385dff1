"""HSM keys as private keys of the `cryptography` library."""

import copy
import datetime as dt
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import NoDigestInfo, Prehashed
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    SSHCertificateBuilder,
    SSHCertificateType,
    load_ssh_public_identity,
    pkcs7,
)
from cryptography.x509 import ocsp

from keystead.client import Client, Credentials, Endpoint, Pinned, Refused
from keystead.client.private_keys import private_key
from tests.support.server import running_server

SIGNING = ("RSA_Signature_PKCS1", "RSA_Signature_PSS_SHA256", "RSA_Signature_PSS_SHA512")
DECRYPTION = ("RSA_Decryption_PKCS1", "RSA_Decryption_OAEP_SHA256")
TYPES = {
    "p256": ("EC_P256", ["ECDSA_Signature"]),
    "p384": ("EC_P384", ["ECDSA_Signature"]),
    "p521": ("EC_P521", ["ECDSA_Signature"]),
    "k256": ("EC_P256K1", ["ECDSA_Signature"]),
    "ed": ("Curve25519", ["EdDSA_Signature"]),
    "rsa": ("RSA", [*SIGNING, *DECRYPTION]),
    "agrees": ("EC_P256", ["ECDH_Derivation"]),
    "generic": ("Generic", ["HMAC_SHA256"]),
}
CURVES = ("p256", "p384", "p521", "k256")
SIGNERS = [name for name in TYPES if name not in {"generic", "agrees"}]
IN_CERTIFICATES = [name for name in SIGNERS if name != "k256"]
NAME = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "example.com")])
NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
LATER = NOW + dt.timedelta(days=365)


@pytest.fixture(scope="module")
def hsm(tmp_path_factory):
    with running_server(tmp_path_factory.mktemp("server")) as server:
        server.provision()
        server.add_user("signer", "Operator")
        endpoint = Endpoint(server.host, server.port, Pinned(server.fingerprint))
        with Client([endpoint], Credentials("admin", server.passphrases["admin"])) as admin:
            for name, (type_name, mechanisms) in TYPES.items():
                wanted = {"id": name, "type": type_name, "mechanisms": mechanisms, "length": 2048}
                admin.post(
                    "/keys/generate", wanted | ({"length": 256} if name == "generic" else {})
                )
        with Client([endpoint], Credentials("signer", server.passphrases["signer"])) as client:
            yield client


def hash_for(key):
    return (
        None
        if not isinstance(key, (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey))
        else (hashes.SHA256())
    )


def certificate_of(key):
    builder = x509.CertificateBuilder(NAME, NAME, key.public_key(), 1, NOW, LATER)
    return builder.sign(key, hash_for(key))


@pytest.mark.parametrize("name", IN_CERTIFICATES)
def test_certificates_requests_and_revocation_lists_are_signed(hsm, name):
    key = private_key(hsm, name)
    certificate = certificate_of(key)
    certificate.verify_directly_issued_by(certificate)
    request = x509.CertificateSigningRequestBuilder(NAME).sign(key, hash_for(key))
    assert request.is_signature_valid
    revocations = x509.CertificateRevocationListBuilder(NAME, NOW, LATER).sign(key, hash_for(key))
    assert revocations.is_signature_valid(key.public_key())


@pytest.mark.parametrize("name", IN_CERTIFICATES)
def test_an_ocsp_response_is_signed(hsm, name):
    key = private_key(hsm, name)
    certificate = certificate_of(key)
    builder = ocsp.OCSPResponseBuilder().add_response(
        certificate, certificate, hashes.SHA256(), ocsp.OCSPCertStatus.GOOD, NOW, LATER, None, None
    )
    responder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, certificate)
    response = responder.sign(key, hash_for(key))
    check(key.public_key(), response.signature, response.tbs_response_bytes)


def check(public, signature, message):
    """Verify as what comes out of the builders is verified."""
    match public:
        case rsa.RSAPublicKey():
            public.verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
        case ec.EllipticCurvePublicKey():
            public.verify(signature, message, ec.ECDSA(hashes.SHA256()))
        case _:
            public.verify(signature, message)


def test_a_certificate_is_signed_with_pss(hsm):
    key = private_key(hsm, "rsa")
    builder = x509.CertificateBuilder(NAME, NAME, key.public_key(), 1, NOW, LATER)
    pss = padding.PSS(padding.MGF1(hashes.SHA512()), padding.PSS.DIGEST_LENGTH)
    certificate = builder.sign(key, hashes.SHA512(), rsa_padding=pss)
    certificate.verify_directly_issued_by(certificate)


@pytest.mark.parametrize("name", ["p256", "rsa"])
def test_a_message_is_signed_as_pkcs7(hsm, name):
    key = private_key(hsm, name)
    builder = pkcs7.PKCS7SignatureBuilder().set_data(b"hello")
    signed = builder.add_signer(certificate_of(key), key, hashes.SHA256())
    options = [pkcs7.PKCS7Options.NoAttributes]
    assert signed.sign(Encoding.PEM, options).startswith(b"-----BEGIN PKCS7-----")


@pytest.mark.parametrize("name", IN_CERTIFICATES)
def test_an_ssh_certificate_is_signed(hsm, name):
    authority = private_key(hsm, name)
    builder = (
        SSHCertificateBuilder()
        .public_key(private_key(hsm, "ed").public_key())
        .type(SSHCertificateType.USER)
        .key_id(b"somebody")
        .valid_principals([b"somebody"])
        .valid_after(0)
        .valid_before(2**32)
    )
    certificate = builder.sign(authority)
    load_ssh_public_identity(certificate.public_bytes()).verify_cert_signature()


@pytest.mark.parametrize("name", CURVES)
@pytest.mark.parametrize(
    "hash_name",
    ["SHA1", "SHA224", "SHA256", "SHA384", "SHA512", "SHA3_256"],
)
def test_ecdsa_takes_any_hash_on_any_curve(hsm, name, hash_name):
    algorithm = getattr(hashes, hash_name)()
    key = private_key(hsm, name)
    signature = key.sign(b"hello", ec.ECDSA(algorithm))
    key.public_key().verify(signature, b"hello", ec.ECDSA(algorithm))
    hashed = hashes.Hash(algorithm)
    hashed.update(b"hello")
    signature = key.sign(hashed.finalize(), ec.ECDSA(Prehashed(algorithm)))
    key.public_key().verify(signature, b"hello", ec.ECDSA(algorithm))


@pytest.mark.parametrize(
    "hash_name",
    ["MD5", "SHA1", "SHA224", "SHA256", "SHA384", "SHA512"],
)
def test_rsa_signs_pkcs1_with_the_usual_hashes(hsm, hash_name):
    algorithm = getattr(hashes, hash_name)()
    key = private_key(hsm, "rsa")
    signature = key.sign(b"hello", padding.PKCS1v15(), algorithm)
    key.public_key().verify(signature, b"hello", padding.PKCS1v15(), algorithm)


def test_rsa_signs_what_is_a_digest_info_already(hsm):
    key = private_key(hsm, "rsa")
    signature = key.sign(b"anything", padding.PKCS1v15(), NoDigestInfo())
    recovered = key.public_key().recover_data_from_signature(signature, padding.PKCS1v15(), None)
    assert recovered == b"anything"


@pytest.mark.parametrize("salt", [padding.PSS.DIGEST_LENGTH, 32])
def test_rsa_signs_pss_with_a_salt_as_long_as_the_digest(hsm, salt):
    key = private_key(hsm, "rsa")
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), salt)
    signature = key.sign(b"hello", pss, hashes.SHA256())
    key.public_key().verify(signature, b"hello", pss, hashes.SHA256())


@pytest.mark.parametrize(
    "pss",
    [
        padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.MAX_LENGTH),
        padding.PSS(padding.MGF1(hashes.SHA256()), 20),
        padding.PSS(padding.MGF1(hashes.SHA512()), 32),
    ],
)
def test_another_pss_than_the_hsms_is_refused_here(hsm, pss):
    with pytest.raises(UnsupportedAlgorithm):
        private_key(hsm, "rsa").sign(b"hello", pss, hashes.SHA256())


def test_rsa_decrypts(hsm):
    key = private_key(hsm, "rsa")
    oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    for scheme in (oaep, padding.PKCS1v15()):
        assert key.decrypt(key.public_key().encrypt(b"secret", scheme), scheme) == b"secret"
    labelled = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), b"label")
    with pytest.raises(UnsupportedAlgorithm):
        key.decrypt(bytes(256), labelled)


def test_what_the_hsm_refuses_is_told(hsm):
    pss = padding.PSS(padding.MGF1(hashes.SHA384()), padding.PSS.DIGEST_LENGTH)
    with pytest.raises(Refused, match="mechanisms"):
        private_key(hsm, "rsa").sign(b"hello", pss, hashes.SHA384())


@pytest.mark.parametrize("name", SIGNERS)
def test_nothing_private_can_be_had(hsm, name):
    key = private_key(hsm, name)
    with pytest.raises(UnsupportedAlgorithm, match="stays in the HSM"):
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for method in ("private_numbers", "private_bytes_raw"):
        with pytest.raises(UnsupportedAlgorithm, match="stays in the HSM"):
            getattr(key, method)()
    assert copy.copy(key) is key
    assert copy.deepcopy(key) is key


def test_a_digest_of_the_wrong_length_is_refused(hsm):
    with pytest.raises(ValueError, match="not as long"):
        private_key(hsm, "p256").sign(bytes(31), ec.ECDSA(Prehashed(hashes.SHA256())))


def test_keys_agree_on_a_secret(hsm):
    key, other = private_key(hsm, "agrees"), ec.generate_private_key(ec.SECP256R1())
    here = key.exchange(ec.ECDH(), other.public_key())
    assert here == other.exchange(ec.ECDH(), key.public_key())
    with pytest.raises(Refused, match="mechanisms"):
        private_key(hsm, "p256").exchange(ec.ECDH(), other.public_key())


def test_a_symmetric_key_is_no_private_key(hsm):
    with pytest.raises(Refused, match="no public key"):
        private_key(hsm, "generic")


def test_threads_share_a_key(hsm):
    key = private_key(hsm, "p256")
    with ThreadPoolExecutor(8) as threads:
        signatures = threads.map(lambda _: key.sign(b"x", ec.ECDSA(hashes.SHA256())), range(64))
        for signature in signatures:
            key.public_key().verify(signature, b"x", ec.ECDSA(hashes.SHA256()))


def test_many_messages_are_signed_as_they_are_by_themselves(hsm):
    messages = [b"first", b"second"]
    for name, arguments in {
        "p521": (ec.ECDSA(hashes.SHA256()),),
        "rsa": (padding.PKCS1v15(), hashes.SHA256()),
        "ed": (),
    }.items():
        key = private_key(hsm, name)
        for signature, message in zip(key.sign_many(messages, *arguments), messages, strict=True):
            key.public_key().verify(signature, message, *arguments)
    assert private_key(hsm, "rsa").sign_many([], padding.PKCS1v15(), hashes.SHA256()) == []
