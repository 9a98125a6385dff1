import pytest
from Crypto.Cipher import AES
from hypothesis import given
from hypothesis import strategies as st

from keystead import algorithms
from keystead.algorithms import PrivateKey, PrivateParts
from keystead.errors import InvalidInput
from tests.algorithms import published_vectors

GENERIC = algorithms.BY_NAME["Generic"]
NIST_FILES = [
    f"ciphers/AES/CBC/CBC{kind}{size}.rsp"
    for kind in ("GFSbox", "KeySbox", "MMT", "VarKey", "VarTxt")
    for size in (128, 192, 256)
]


def key_of(data: bytes) -> PrivateKey:
    return GENERIC.from_parts(PrivateParts(data=data))


@pytest.mark.parametrize("path", NIST_FILES)
def test_the_published_aes_cbc_vectors_hold_both_ways(path):
    for _section, block in published_vectors.nist_blocks(path):
        key, iv = key_of(block["KEY"]), block["IV"]
        assert key.encrypt("AES_CBC", block["PLAINTEXT"], iv) == (block["CIPHERTEXT"], iv)
        assert key.decrypt("AES_CBC", block["CIPHERTEXT"], iv) == block["PLAINTEXT"]


@given(
    value=st.binary(min_size=32, max_size=32),
    size=st.sampled_from([16, 24, 32]),
    blocks=st.integers(0, 20),
)
def test_another_library_decrypts_what_was_encrypted_with_a_fresh_iv(value, size, blocks):
    value = value[:size]
    message = bytes(range(16)) * blocks
    ciphertext, iv = key_of(value).encrypt("AES_CBC", message, None)
    assert AES.new(value, AES.MODE_CBC, iv).decrypt(ciphertext) == message
    assert key_of(value).decrypt("AES_CBC", ciphertext, iv) == message


def test_every_fresh_iv_is_another():
    key = key_of(bytes(32))
    ivs = {key.encrypt("AES_CBC", bytes(16), None)[1] for _ in range(100)}
    assert len(ivs) == 100


@pytest.mark.parametrize("length", [1, 15, 17, 31])
def test_a_message_is_whole_blocks(length):
    with pytest.raises(InvalidInput, match=f"a multiple of 16 bytes, not {length}"):
        key_of(bytes(16)).encrypt("AES_CBC", bytes(length), bytes(16))
    with pytest.raises(InvalidInput, match=f"a multiple of 16 bytes, not {length}"):
        key_of(bytes(16)).decrypt("AES_CBC", bytes(length), bytes(16))


@pytest.mark.parametrize("length", [0, 12, 15, 17])
def test_an_iv_has_16_bytes(length):
    with pytest.raises(InvalidInput, match=f"has 16 bytes, not {length}"):
        key_of(bytes(16)).encrypt("AES_CBC", bytes(16), bytes(length))
    with pytest.raises(InvalidInput, match=f"has 16 bytes, not {length}"):
        key_of(bytes(16)).decrypt("AES_CBC", bytes(16), bytes(length))


def test_decryption_needs_an_iv():
    with pytest.raises(InvalidInput, match="needs an IV"):
        key_of(bytes(16)).decrypt("AES_CBC", bytes(16), None)


@pytest.mark.parametrize("length", [17, 20, 33, 64, 1024])
def test_a_key_that_is_no_aes_key_does_not_encrypt(length):
    with pytest.raises(InvalidInput, match="128, 192 or 256 bits"):
        key_of(bytes(length)).encrypt("AES_CBC", bytes(16), None)


@pytest.mark.parametrize("length", [0, 15, 1025])
def test_a_key_has_128_to_8192_bits(length):
    with pytest.raises(InvalidInput, match="128 to 8192 bits"):
        key_of(bytes(length))


@pytest.mark.parametrize(("bits", "length"), [(128, 16), (129, 17), (136, 17), (8191, 1024)])
def test_a_generated_key_is_rounded_up_to_bytes(bits, length):
    raw = GENERIC.generate(bits).material().raw
    assert raw is not None
    assert len(raw) == length


def test_a_generic_key_has_no_public_half_and_signs_no_certificate():
    key = key_of(bytes(32))
    assert key.public() is None
    with pytest.raises(InvalidInput, match="Generic keys have no public key"):
        key.public_pem()
    with pytest.raises(InvalidInput, match="Generic keys cannot sign a certificate request"):
        key.certificate_signer()
