"""OpenSSL 3.5 and newer reads what Keystead makes with ML-DSA, and Keystead what that writes."""

import pytest
from cryptography import x509

from keystead import algorithms
from keystead.algorithms import SIGN, VERIFY
from keystead.certificates.csr import SubjectName, make_csr
from keystead.certificates.tls_identity import self_signed_chain
from keystead.errors import InvalidInput
from tests.support.openssl import knows_ml_dsa, openssl
from tests.support.uses import use

pytestmark = pytest.mark.skipif(not knows_ml_dsa(), reason="no openssl here knows ML-DSA")

NAMES = {"ML_DSA_44": "ML-DSA-44", "ML_DSA_65": "ML-DSA-65", "ML_DSA_87": "ML-DSA-87"}
HOST = SubjectName(common_name="host.example")
MESSAGE = b"a message"


@pytest.fixture(params=NAMES)
def key(request):
    return algorithms.BY_NAME[request.param].generate(None)


@pytest.fixture
def files(tmp_path, key):
    """A folder with the public key and a message."""
    (tmp_path / "public.pem").write_bytes(key.public_pem())
    (tmp_path / "message").write_bytes(MESSAGE)
    return tmp_path


@pytest.mark.parametrize("context", [b"", b"a context"])
def test_a_signature_is_verified(key, files, context):
    signature = files / "signature"
    signature.write_bytes(use(key, SIGN, "ML_DSA", MESSAGE, context=context))
    arguments = ["pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", str(files / "public.pem")]
    arguments += ["-in", str(files / "message"), "-sigfile", str(signature)]
    if context:
        arguments += ["-pkeyopt", f"hexcontext-string:{context.hex()}"]
    assert b"Signature Verified Successfully" in openssl(*arguments)


def test_a_certificate_request_is_verified_and_a_certificate_made_of_it(key, tmp_path):
    request, authority, made = (tmp_path / name for name in ("csr.pem", "ca.pem", "cert.pem"))
    request.write_bytes(make_csr(key, HOST))
    assert b"verify OK" in openssl("req", "-verify", "-noout", "-in", str(request))
    name = ["-newkey", NAMES[key.algorithm.name], "-nodes", "-subj", "/CN=authority"]
    ca_key = ["-keyout", str(tmp_path / "ca.key")]
    openssl("req", "-x509", *name, *ca_key, "-out", str(authority))
    signing = ["-CA", str(authority), "-CAkey", str(tmp_path / "ca.key")]
    openssl("x509", "-req", "-in", str(request), *signing, "-out", str(made))
    assert b"OK" in openssl("verify", "-CAfile", str(authority), str(made))
    certificate = x509.load_pem_x509_certificate(made.read_bytes())
    assert certificate.public_key() == key.certificate_signer().key.public_key()


def test_a_certificate_that_the_key_signs_is_verified(key, tmp_path):
    certificate = tmp_path / "cert.pem"
    certificate.write_bytes(self_signed_chain(key, "host.example"))
    verified = openssl("verify", "-check_ss_sig", "-CAfile", str(certificate), str(certificate))
    assert b"OK" in verified


@pytest.mark.parametrize("form", ["default", "seed-priv", "seed-only"])
@pytest.mark.parametrize("name", NAMES)
def test_a_key_that_openssl_makes_is_imported_and_is_the_same(tmp_path, name, form):
    path, signature = tmp_path / "key.pem", tmp_path / "signature"
    output = [] if form == "default" else ["-provparam", f"ml-dsa.output_formats={form}"]
    openssl("genpkey", "-algorithm", NAMES[name], *output, "-out", str(path))
    key = algorithms.import_pem(path.read_bytes())
    assert key.algorithm.name == name
    (tmp_path / "message").write_bytes(MESSAGE)
    signing = ["-rawin", "-inkey", str(path), "-in", str(tmp_path / "message")]
    openssl("pkeyutl", "-sign", *signing, "-out", str(signature))
    assert use(key, VERIFY, "ML_DSA", MESSAGE, signature=signature.read_bytes())


def test_a_key_that_openssl_writes_without_its_seed_is_refused(tmp_path):
    path = tmp_path / "key.pem"
    output = ["-provparam", "ml-dsa.output_formats=priv-only"]
    openssl("genpkey", "-algorithm", "ML-DSA-65", *output, "-out", str(path))
    with pytest.raises(InvalidInput, match="expanded form"):
        algorithms.import_pem(path.read_bytes())
