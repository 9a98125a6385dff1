import hashlib
import math
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from Crypto.Cipher import PKCS1_v1_5
from Crypto.Hash import SHA256
from Crypto.PublicKey import RSA
from Crypto.Signature import pss
from Crypto.Util.asn1 import DerSequence
from Crypto.Util.number import isPrime

from keystead import algorithms
from keystead.algorithms import DECRYPT, SIGN, PrivateKey, PrivateParts
from keystead.algorithms.rsa import RsaKey
from keystead.errors import DecryptionFailed, InvalidInput
from tests.algorithms import published_vectors
from tests.algorithms.conftest import make_key
from tests.algorithms.published_vectors import RsaVector
from tests.support.rsa_encodings import (
    encode_oaep,
    encode_pkcs1,
    encrypt_raw,
    numbers,
    size,
    wrong_oaep,
    wrong_pkcs1,
)
from tests.support.uses import use
from tests.support.verification import HASHES

SHA1_DIGEST_INFO = bytes.fromhex("3021300906052b0e03021a05000414")  # RFC 8017, 9.2, note 1
SIGN_VECTORS = "asymmetric/RSA/pkcs1v15sign-vectors.txt"
CRYPT_VECTORS = "asymmetric/RSA/pkcs1v15crypt-vectors.txt"
OAEP_VECTORS = [
    ("OAEP_SHA1", "asymmetric/RSA/pkcs-1v2-1d2-vec/oaep-vect.txt"),
    *(
        (f"OAEP_SHA{size}", f"asymmetric/RSA/oaep-custom/oaep-sha{size}-sha{size}.txt")
        for size in (224, 256, 384, 512)
    ),
]


def key_of(vector: RsaVector) -> PrivateKey:
    return algorithms.BY_NAME["RSA"].from_parts(
        PrivateParts(
            prime_p=vector.prime_p,
            prime_q=vector.prime_q,
            public_exponent=vector.exponent,
        )
    )


@pytest.fixture(scope="module")
def short_key() -> PrivateKey:
    """A key of 1024 bits."""
    return key_of(next(published_vectors.rsa(SIGN_VECTORS)))


def test_pkcs1_signatures_of_the_published_messages_are_the_published_ones():
    groups = published_vectors.by_key(published_vectors.rsa(SIGN_VECTORS))
    assert len(groups) == 15
    for group in groups:
        key = key_of(group[0])
        for vector in group:
            digest = hashlib.sha1(vector.message, usedforsecurity=False).digest()
            assert use(key, SIGN, "PKCS1", SHA1_DIGEST_INFO + digest) == vector.result


def test_the_published_pkcs1_ciphertexts_decrypt_padded_and_raw():
    groups = published_vectors.by_key(published_vectors.rsa(CRYPT_VECTORS))
    assert len(groups) == 15
    for group in groups:
        key = key_of(group[0])
        for vector in group:
            encoded = b"\x02" + vector.seed + b"\x00" + vector.message
            assert use(key, DECRYPT, "PKCS1", vector.result) == vector.message
            assert use(key, DECRYPT, "RAW", vector.result) == encoded.rjust(size(key), b"\x00")


@pytest.mark.parametrize(("mode", "path"), OAEP_VECTORS)
def test_the_published_oaep_ciphertexts_decrypt(mode, path):
    groups = published_vectors.by_key(published_vectors.rsa(path))
    assert groups
    for group in groups:
        key = key_of(group[0])
        for vector in group:
            assert use(key, DECRYPT, mode, vector.result) == vector.message


@pytest.mark.parametrize("name", HASHES)
def test_oaep_decrypts_what_a_plain_encoder_made(rsa_key, name):
    for message in (b"", b"?", b"a message"):
        ciphertext = encrypt_raw(rsa_key, encode_oaep(message, size(rsa_key), name.lower()))
        assert use(rsa_key, DECRYPT, f"OAEP_{name}", ciphertext) == message


@pytest.mark.parametrize("name", HASHES)
def test_another_library_verifies_pss_with_a_salt_as_long_as_the_hash(rsa_key, name):
    digest = HASHES[name].new(b"a message")
    signature = use(rsa_key, SIGN, f"PSS_{name}", digest.digest())
    public = RSA.import_key(rsa_key.public_pem())
    pss.new(public, salt_bytes=digest.digest_size).verify(digest, signature)


def test_pss_signatures_differ_from_one_to_the_next(rsa_key):
    assert use(rsa_key, SIGN, "PSS_SHA256", bytes(32)) != use(
        rsa_key, SIGN, "PSS_SHA256", bytes(32)
    )


@pytest.mark.parametrize("name", HASHES)
def test_pss_takes_a_digest_of_exactly_its_hash(rsa_key, name):
    length = HASHES[name].digest_size
    for wrong in (0, length - 1, length + 1):
        with pytest.raises(InvalidInput, match=f"a digest of {length} bytes, not {wrong}"):
            use(rsa_key, SIGN, f"PSS_{name}", bytes(wrong))


def test_pss_with_a_hash_too_long_for_the_key_is_refused(short_key):
    use(short_key, SIGN, "PSS_SHA384", bytes(48))
    with pytest.raises(InvalidInput, match="1024 bits is too short for PSS_SHA512"):
        use(short_key, SIGN, "PSS_SHA512", bytes(64))


@pytest.mark.parametrize("length", [0, 1, 51, 245])
def test_pkcs1_signs_exactly_the_bytes_it_is_given(rsa_key, length):
    message = bytes(range(length))
    signature = use(rsa_key, SIGN, "PKCS1", message)
    modulus, exponent = numbers(rsa_key)
    encoded = pow(int.from_bytes(signature), exponent, modulus).to_bytes(256)
    assert encoded == b"\x00\x01" + b"\xff" * (253 - length) + b"\x00" + message


def test_pkcs1_refuses_a_message_longer_than_the_key_can_sign(rsa_key):
    with pytest.raises(InvalidInput, match="up to 245 bytes, not 246"):
        use(rsa_key, SIGN, "PKCS1", bytes(246))


def test_pkcs1_decrypts_what_another_library_encrypted(rsa_key):
    ciphertext = PKCS1_v1_5.new(RSA.import_key(rsa_key.public_pem())).encrypt(b"a message")
    assert use(rsa_key, DECRYPT, "PKCS1", ciphertext) == b"a message"


def test_a_wrong_pkcs1_padding_gives_a_message_that_says_nothing_always_the_same(rsa_key):
    lengths, blocks = set(), wrong_pkcs1(256)
    for encoded in blocks.values():
        ciphertext = encrypt_raw(rsa_key, encoded)
        message = use(rsa_key, DECRYPT, "PKCS1", ciphertext)
        assert message == use(rsa_key, DECRYPT, "PKCS1", ciphertext)
        assert message == use(make_key("RSA"), DECRYPT, "PKCS1", ciphertext)
        assert len(message) <= 245
        assert len(message) < 8 or message not in encoded
        lengths.add(len(message))
    assert len(blocks) > 10
    assert len(lengths) > 1


@pytest.mark.parametrize("kind", wrong_pkcs1(256))
def test_a_wrong_pkcs1_padding_is_an_error_if_it_has_to_be(rsa_key, kind):
    good = encrypt_raw(rsa_key, encode_pkcs1(b"a message", 256))
    assert rsa_key.decrypt_pkcs1_with_padding_errors(good) == b"a message"
    bad = encrypt_raw(rsa_key, wrong_pkcs1(256)[kind])
    with pytest.raises(DecryptionFailed, match=r"^Decryption failure$"):
        rsa_key.decrypt_pkcs1_with_padding_errors(bad)


PKCS1_DECRYPTIONS = [RsaKey.decrypt_pkcs1, RsaKey.decrypt_pkcs1_with_padding_errors]


def test_an_empty_pkcs1_message_is_one(rsa_key):
    ciphertext = encrypt_raw(rsa_key, encode_pkcs1(b"", 256))
    for decrypt in PKCS1_DECRYPTIONS:
        assert decrypt(rsa_key, ciphertext) == b""


@pytest.mark.parametrize("decrypt", PKCS1_DECRYPTIONS)
def test_a_pkcs1_ciphertext_is_below_the_modulus(rsa_key, decrypt):
    for number in (numbers(rsa_key)[0], (1 << 2048) - 1):
        with pytest.raises(DecryptionFailed, match=r"^Decryption failure$"):
            decrypt(rsa_key, number.to_bytes(256))


@pytest.mark.parametrize("decrypt", PKCS1_DECRYPTIONS)
@pytest.mark.parametrize("length", [0, 255, 257])
def test_a_pkcs1_ciphertext_is_as_long_as_the_modulus(rsa_key, decrypt, length):
    with pytest.raises(DecryptionFailed, match=r"^Decryption failure$"):
        decrypt(rsa_key, bytes(length))


@pytest.mark.parametrize("exponent", [3, 5, 17, 65537, (1 << 255) + 95])
def test_any_odd_exponent_of_up_to_256_bits_works(parts, exponent):
    primes = [int.from_bytes(octets or b"") for octets in (parts.prime_p, parts.prime_q)]
    while any(math.gcd(exponent, prime - 1) != 1 for prime in primes):
        exponent += 2
    key = algorithms.BY_NAME["RSA"].from_parts(
        replace(parts, public_exponent=exponent.to_bytes(32))
    )
    assert numbers(key)[1] == exponent
    assert encrypt_raw(key, use(key, DECRYPT, "RAW", b"\x02")) == b"\x02".rjust(128, b"\x00")
    assert encrypt_raw(key, use(key, SIGN, "PKCS1", b"a message")).endswith(b"\x00a message")


@pytest.mark.parametrize("mode", [f"OAEP_{name}" for name in HASHES])
def test_every_failed_oaep_decryption_fails_alike(rsa_key, mode):
    wrong = wrong_oaep(256, mode.removeprefix("OAEP_").lower()).values()
    encrypted = [encrypt_raw(rsa_key, encoded) for encoded in wrong]
    for ciphertext in (b"", bytes(255), bytes(257), b"\xff" * 256, *encrypted):
        with pytest.raises(DecryptionFailed) as failure:
            use(rsa_key, DECRYPT, mode, ciphertext)
        assert failure.value.message == "Decryption failure"
        assert failure.value.__cause__ is None


@pytest.mark.parametrize("ciphertext", [b"", b"\x02", bytes(255) + b"\x02", bytes(300) + b"\x02"])
def test_raw_decryption_returns_as_many_bytes_as_the_modulus_has(rsa_key, ciphertext):
    plaintext = use(rsa_key, DECRYPT, "RAW", ciphertext)
    assert len(plaintext) == 256
    assert int.from_bytes(encrypt_raw(rsa_key, plaintext)) == int.from_bytes(ciphertext)


def test_raw_decryption_refuses_a_number_not_below_the_modulus(rsa_key):
    modulus = numbers(rsa_key)[0]
    use(rsa_key, DECRYPT, "RAW", (modulus - 1).to_bytes(256))
    for number in (modulus, modulus + 1, 1 << 2100):
        with pytest.raises(InvalidInput, match="larger than the key's modulus"):
            use(rsa_key, DECRYPT, "RAW", number.to_bytes(263))


def test_a_faulty_raw_result_never_leaves(rsa_key, monkeypatch):
    monkeypatch.setattr(
        "Crypto.PublicKey.RSA.RsaKey._decrypt_to_bytes", lambda _key, _number: bytes(256)
    )
    with pytest.raises(ArithmeticError):
        use(rsa_key, DECRYPT, "RAW", b"\x02")


def test_one_key_works_in_many_threads_at_once(rsa_key):
    ciphertext = encrypt_raw(rsa_key, encode_oaep(b"a message", 256, "md5"))

    def work(_index: int) -> tuple[bytes, bytes, bytes]:
        return (
            use(rsa_key, SIGN, "PKCS1", b"a message"),
            use(rsa_key, DECRYPT, "OAEP_MD5", ciphertext),
            use(rsa_key, DECRYPT, "RAW", ciphertext),
        )

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(work, range(40)))) == 1


@pytest.mark.parametrize("length", [1024, 1031])
def test_a_generated_key_has_the_length_asked_for(length):
    key = algorithms.BY_NAME["RSA"].generate(length)
    modulus, exponent = numbers(key)
    assert (modulus.bit_length(), exponent) == (length, 65537)
    key.validate()
    digest = SHA256.new(b"a message")
    pss.new(RSA.construct((modulus, exponent))).verify(
        digest, use(key, SIGN, "PSS_SHA256", digest.digest())
    )
    assert len(use(key, DECRYPT, "RAW", b"\x02")) == (length + 7) // 8


@pytest.fixture(scope="module")
def parts() -> PrivateParts:
    vector = next(published_vectors.rsa(SIGN_VECTORS))
    return PrivateParts(
        prime_p=vector.prime_p, prime_q=vector.prime_q, public_exponent=vector.exponent
    )


BAD_PARTS = {
    "no prime p": lambda good: replace(good, prime_p=None),
    "no prime q": lambda good: replace(good, prime_q=None),
    "no exponent": lambda good: replace(good, public_exponent=None),
    "an empty prime": lambda good: replace(good, prime_p=b""),
    "a prime of one": lambda good: replace(good, prime_p=b"\x01"),
    "a composite p": lambda good: replace(good, prime_p=changed(good.prime_p, 6)),
    "a composite q": lambda good: replace(good, prime_q=changed(good.prime_q, 6)),
    "an even p": lambda good: replace(good, prime_p=changed(good.prime_p, 1)),
    "one prime twice": lambda good: replace(good, prime_q=good.prime_p),
    "an empty exponent": lambda good: replace(good, public_exponent=b""),
    "an exponent of one": lambda good: replace(good, public_exponent=b"\x01"),
    "an even exponent": lambda good: replace(good, public_exponent=b"\x04"),
    "an exponent of 257 bits": lambda good: replace(
        good, public_exponent=b"\x01" + bytes(31) + b"\x01"
    ),
    "an exponent without inverse": lambda good: replace(
        good, public_exponent=factor_of(good.prime_p)
    ),
    "too short": lambda good: replace(good, prime_p=b"\x0b", prime_q=b"\x0d"),
    "too long": lambda good: replace(good, prime_p=b"\xff" * 513, prime_q=b"\xff" * 513),
    "absurdly long": lambda good: replace(good, prime_p=b"\xff" * 100_000),
}


def prime_from(start: int) -> int:
    """Return the first prime from `start` on that the public exponent 65537 goes with."""
    candidates = range(start | 1, start + 10**6, 2)
    return next(one for one in candidates if one % 65537 != 1 and isPrime(one))


# What `prime_from` finds, written down: to look for it takes seconds.
LARGE_PRIME = (3 << 1022) + 1037
WEAK_PRIMES = {
    "far from half the modulus: 3": (3, LARGE_PRIME),
    "far from half the modulus: 65537": (65537, LARGE_PRIME),
    "far from half the modulus: 61 bits": (2**61 - 1, LARGE_PRIME),
    "far from half the modulus: 500 bits": ((1 << 500) + 55, LARGE_PRIME),
    "close to each other: neighbours": (LARGE_PRIME, LARGE_PRIME + 660),
    "close to each other: 2^400 apart": (LARGE_PRIME, LARGE_PRIME + 2**400 + 1478),
}


# Primes whose predecessors share all but a few bits have a small private exponent.
COMMON_FACTOR = int(
    "1db9e47cd893a4562e384c905e9d27664bff40445e005c9150d77c4295f380c1"
    "99ff12d5e530ee6b5b40b7c0ab67ab955e6df05d63182b5f2d98790b09e37036",
    16,
)
WEAK_PRIMES["a small private exponent"] = (6 * COMMON_FACTOR + 1, 8 * COMMON_FACTOR + 1)


@pytest.mark.parametrize("name", WEAK_PRIMES)
def test_a_key_that_is_easy_to_factor_is_refused_whichever_way_it_comes(name):
    p, q = WEAK_PRIMES[name]
    octets = [number.to_bytes((number.bit_length() + 7) // 8) for number in (p, q, 65537)]
    parts = PrivateParts(prime_p=octets[0], prime_q=octets[1], public_exponent=octets[2])
    d = pow(65537, -1, (p - 1) * (q - 1))
    numbers = (0, p * q, 65537, d, p, q, d % (p - 1), d % (q - 1), pow(q, -1, p))
    der = DerSequence(numbers).encode()
    pem = (
        f"-----BEGIN RSA PRIVATE KEY-----\n{b64encode(der).decode()}\n-----END RSA PRIVATE KEY-----"
    )
    for attempt in (
        lambda: algorithms.BY_NAME["RSA"].from_parts(parts),
        lambda: algorithms.import_pem(pem.encode()),
    ):
        with pytest.raises(InvalidInput, match=r"half the bits|too close|exponent .* too small"):
            attempt()


@pytest.mark.parametrize("lengths", [(1024, 1024), (1025, 1023), (1024, 1023)])
def test_primes_that_differ_by_a_bit_or_two_in_length_are_taken(lengths):
    p, q = (prime_from(3 << (length - 2)) for length in lengths)
    p = prime_from(p + (1 << 1000))
    parts = PrivateParts(
        prime_p=p.to_bytes(129), prime_q=q.to_bytes(129), public_exponent=b"\1\0\1"
    )
    assert algorithms.BY_NAME["RSA"].from_parts(parts).public() is not None


def changed(prime: bytes, by: int) -> bytes:
    return (int.from_bytes(prime) + by).to_bytes(len(prime))


def factor_of(prime: bytes) -> bytes:
    """Return an odd factor of p - 1."""
    number = int.from_bytes(prime) - 1
    return next(odd for odd in range(3, 1 << 20, 2) if number % odd == 0).to_bytes(4)


@pytest.mark.parametrize("make", BAD_PARTS.values(), ids=BAD_PARTS)
def test_numbers_that_are_no_rsa_key_are_refused(parts, make):
    with pytest.raises(InvalidInput):
        algorithms.BY_NAME["RSA"].from_parts(make(parts))


def test_leading_zeros_and_the_order_of_the_primes_do_not_matter(parts):
    key = algorithms.BY_NAME["RSA"].from_parts(parts)
    other = algorithms.BY_NAME["RSA"].from_parts(
        PrivateParts(
            prime_p=b"\x00" + (parts.prime_q or b""),
            prime_q=parts.prime_p,
            public_exponent=b"\x00" + (parts.public_exponent or b""),
        )
    )
    assert other.public() == key.public()
    assert use(other, SIGN, "PKCS1", b"a message") == use(key, SIGN, "PKCS1", b"a message")
    assert use(other, DECRYPT, "RAW", b"\x02") == use(key, DECRYPT, "RAW", b"\x02")
