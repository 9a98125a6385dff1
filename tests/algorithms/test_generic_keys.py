import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from Crypto.Cipher import AES
from hypothesis import given
from hypothesis import strategies as st

from keystead import algorithms
from keystead.algorithms import DECRYPT, ENCRYPT, SIGN, VERIFY, PrivateKey, PrivateParts
from keystead.errors import DecryptionFailed, InvalidInput
from keystead.processes.sandbox.memory import return_large_blocks
from tests.algorithms import published_vectors
from tests.support.uses import use

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
        assert use(key, ENCRYPT, "AES_CBC", block["PLAINTEXT"], iv=iv) == (block["CIPHERTEXT"], iv)
        assert use(key, DECRYPT, "AES_CBC", block["CIPHERTEXT"], iv=iv) == block["PLAINTEXT"]


@pytest.mark.parametrize("size", [128, 192, 256])
def test_the_published_aes_gcm_vectors_hold(size):
    tried = Counter[str]()
    for block in gcm_blocks(f"ciphers/AES/GCM/gcmDecrypt{size}.rsp"):
        iv, tag = bytes.fromhex(block["IV"]), bytes.fromhex(block["Tag"])
        if (len(iv), len(tag)) != (12, 16):
            tried["another length of IV or tag"] += 1
            continue
        key, message = key_of(bytes.fromhex(block["Key"])), bytes.fromhex(block["CT"])
        options = {"iv": iv, "tag": tag, "aad": bytes.fromhex(block["AAD"])}
        if "PT" in block:
            tried["valid"] += 1
            expected = bytes.fromhex(block["PT"])
            assert use(key, DECRYPT, "AES_GCM", message, **options) == expected
        else:
            tried["invalid"] += 1
            with pytest.raises(DecryptionFailed):
                use(key, DECRYPT, "AES_GCM", message, **options)
    assert tried["valid"] > 100
    assert tried["invalid"] > 100


def gcm_blocks(path: str) -> Iterator[dict[str, str]]:
    """Read NIST's layout, where a block without a plaintext is one that must fail."""
    for text in published_vectors.read(path).decode().replace("\r", "").split("\n\n"):
        pairs = (line.split("=") for line in text.splitlines() if " = " in line)
        block = {name.strip(): value.strip() for name, value in pairs}
        if "Key" in block:
            yield block


@pytest.mark.parametrize("size", [256, 384, 512])
def test_the_published_hmac_vectors_hold(size):
    tried = 0
    for _section, block in published_vectors.nist_blocks(f"HMAC/rfc-4231-sha{size}.txt"):
        if len(block["Key"]) < 16:
            continue  # Shorter than a Generic key can be.
        key, mode = key_of(block["Key"]), f"HMAC_SHA{size}"
        assert use(key, SIGN, mode, block["Msg"]) == block["MD"]
        assert use(key, VERIFY, mode, block["Msg"], signature=block["MD"]) is True
        assert use(key, VERIFY, mode, block["Msg"], signature=block["MD"][:-1]) is False
        tried += 1
    assert tried >= 5


@given(
    value=st.binary(min_size=32, max_size=32),
    size=st.sampled_from([16, 24, 32]),
    blocks=st.integers(0, 20),
)
def test_another_library_decrypts_what_was_encrypted_with_a_fresh_iv(value, size, blocks):
    value = value[:size]
    message = bytes(range(16)) * blocks
    ciphertext, iv = use(key_of(value), ENCRYPT, "AES_CBC", message)
    assert AES.new(value, AES.MODE_CBC, iv).decrypt(ciphertext) == message
    assert use(key_of(value), DECRYPT, "AES_CBC", ciphertext, iv=iv) == message


def test_every_fresh_iv_is_another():
    key = key_of(bytes(32))
    ivs = {use(key, ENCRYPT, "AES_CBC", bytes(16))[1] for _ in range(100)}
    assert len(ivs) == 100


@pytest.mark.parametrize("length", [1, 15, 17, 31])
def test_a_message_is_whole_blocks(length):
    with pytest.raises(InvalidInput, match=f"a multiple of 16 bytes, not {length}"):
        use(key_of(bytes(16)), ENCRYPT, "AES_CBC", bytes(length), iv=bytes(16))
    with pytest.raises(InvalidInput, match=f"a multiple of 16 bytes, not {length}"):
        use(key_of(bytes(16)), DECRYPT, "AES_CBC", bytes(length), iv=bytes(16))


@pytest.mark.parametrize("length", [0, 12, 15, 17])
def test_an_iv_has_16_bytes(length):
    with pytest.raises(InvalidInput, match=f"has 16 bytes, not {length}"):
        use(key_of(bytes(16)), ENCRYPT, "AES_CBC", bytes(16), iv=bytes(length))
    with pytest.raises(InvalidInput, match=f"has 16 bytes, not {length}"):
        use(key_of(bytes(16)), DECRYPT, "AES_CBC", bytes(16), iv=bytes(length))


def test_decryption_needs_an_iv():
    with pytest.raises(InvalidInput, match="AES_CBC needs the field iv to decrypt"):
        use(key_of(bytes(16)), DECRYPT, "AES_CBC", bytes(16))


@pytest.mark.parametrize("length", [17, 20, 33, 64, 1024])
def test_a_key_that_is_no_aes_key_does_not_encrypt(length):
    with pytest.raises(InvalidInput, match="128, 192 or 256 bits"):
        use(key_of(bytes(length)), ENCRYPT, "AES_CBC", bytes(16))


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


def longest_pause(work: Callable[[], object]) -> float:
    """Return the longest time that another thread was kept from running, as a share of all.

    It is the CPU time of this process: while other programs keep the whole process waiting, it
    stands still.
    """
    pauses, stopping = [0.0], threading.Event()

    def tick() -> None:
        last = time.process_time()
        while not stopping.wait(0.0005):
            now = time.process_time()
            pauses.append(now - last)
            last = now

    thread = threading.Thread(target=tick)
    thread.start()
    began = time.process_time()
    try:
        work()
        lasted = time.process_time() - began
    finally:
        stopping.set()
        thread.join()
    return max(pauses) / lasted


SHORT_ONLY = {"AES_KW", "AES_KWP"}
"""Modes that refuse a long message."""
LONG_MODES = [
    (one.use, one.mode)
    for one in GENERIC.mechanisms
    if one.use in {SIGN, ENCRYPT} and one.mode not in SHORT_ONLY
]


@pytest.mark.parametrize(("verb", "mode"), LONG_MODES)
def test_a_long_message_keeps_the_interpreter_from_nobody(verb, mode):
    return_large_blocks("core")  # As the core does. A heap that is in pieces copies as it grows.
    key, message = key_of(bytes(32)), bytes(48 * 2**20)
    # On a busy machine, other programs may keep the thread alone waiting, but not each time.
    assert any(longest_pause(lambda: use(key, verb, mode, message)) < 0.5 for _ in range(40))
