"""OpenSSL 3.5 and newer sends secrets to keys of Keystead's, and Keystead reads its keys."""

import pytest

from keystead import algorithms
from keystead.algorithms import DECAPSULATE, ENCAPSULATE
from tests.support.openssl import knows_ml_dsa, openssl
from tests.support.uses import use

pytestmark = pytest.mark.skipif(not knows_ml_dsa(), reason="no openssl here knows ML-KEM")

NAMES = {"ML_KEM_768": "ML-KEM-768", "ML_KEM_1024": "ML-KEM-1024"}


@pytest.mark.parametrize("name", NAMES)
def test_openssl_s_ciphertext_has_its_secret_here(tmp_path, name):
    key = algorithms.BY_NAME[name].generate(None)
    public, ciphertext, secret = (tmp_path / file for file in ("public.pem", "sent", "secret"))
    public.write_bytes(key.public_pem())
    sending = ["-inkey", str(public), "-out", str(ciphertext), "-secret", str(secret)]
    openssl("pkeyutl", "-encap", "-pubin", *sending)
    assert use(key, DECAPSULATE, "ML_KEM", ciphertext.read_bytes()) == secret.read_bytes()


@pytest.mark.parametrize("form", ["default", "seed-priv", "seed-only"])
@pytest.mark.parametrize("name", NAMES)
def test_a_key_that_openssl_makes_is_imported_and_has_the_same_secrets(tmp_path, name, form):
    path, sent, secret = (tmp_path / file for file in ("key.pem", "sent", "secret"))
    output = [] if form == "default" else ["-provparam", f"ml-kem.output_formats={form}"]
    openssl("genpkey", "-algorithm", NAMES[name], *output, "-out", str(path))
    key = algorithms.import_pem(path.read_bytes())
    assert key.algorithm.name == name
    ciphertext, expected = use(key, ENCAPSULATE, "ML_KEM")
    sent.write_bytes(ciphertext)
    openssl("pkeyutl", "-decap", "-inkey", str(path), "-in", str(sent), "-secret", str(secret))
    assert secret.read_bytes() == expected
