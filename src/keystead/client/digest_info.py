"""DigestInfo (RFC 8017, 9.2): a digest and the name of its hash, which PKCS#1 v1.5 signs."""

from typing import Final

from keystead.errors import InvalidInput

_PREFIXES: Final = {
    "md5": bytes.fromhex("3020300c06082a864886f70d020505000410"),
    "sha1": bytes.fromhex("3021300906052b0e03021a05000414"),
    "sha224": bytes.fromhex("302d300d06096086480165030402040500041c"),
    "sha256": bytes.fromhex("3031300d060960864801650304020105000420"),
    "sha384": bytes.fromhex("3041300d060960864801650304020205000430"),
    "sha512": bytes.fromhex("3051300d060960864801650304020305000440"),
}


def digest_info(hash_name: str, digest: bytes) -> bytes:
    """Return the DER. `hash_name` is hashlib's. Raises InvalidInput for another hash or length."""
    prefix = _PREFIXES.get(hash_name)
    if prefix is None or len(digest) != prefix[-1]:
        raise InvalidInput(f"{len(digest)} bytes are not a digest of {hash_name} for PKCS#1.")
    return prefix + digest
