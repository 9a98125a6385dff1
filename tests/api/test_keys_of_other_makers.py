"""Keys as other tools write them: each is imported and used, or refused with its reason.

tests/vectors/keys/made-by/README.md says how the files were made.
"""

import base64
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, x448, x25519
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from keystead import algorithms
from tests.api.test_keys_import import MONTGOMERY, put_pem, upload
from tests.support.core import ADMIN, Core, Credentials, b64
from tests.support.verification import what_to_sign

FOLDER = Path(__file__).parent.parent / "vectors" / "keys" / "made-by"
REFUSED = FOLDER / "refused"
FILES = sorted(
    file
    for file in FOLDER.glob("*/*.pem")
    if file.parent != REFUSED and not file.name.endswith(".public.pem")
)
MODES = {
    "RSA": "PSS_SHA256",
    "Curve25519": "EdDSA",
    "Ed448": "EdDSA",
    **{f"ML_DSA_{bits}": "ML_DSA" for bits in (44, 65, 87)},
}
NEEDS_OPENSSL_3_5 = {row.name for row in algorithms.ALL if row.name.startswith("ML_KEM_")}
"""Types that none of the tools had in these versions; tests/algorithms has files of them."""
OF_TYPE = {row.name: [mechanism.name for mechanism in row.mechanisms] for row in algorithms.ALL}
USES_BY_FIELD = {"encrypted": ("decrypt", "decrypted"), "publicKey": ("derive", "secret")}
SHA256 = Prehashed(hashes.SHA256())


def content(file: Path) -> bytes:
    return file.read_bytes()


def verify(public: PublicKeyTypes, message: bytes, signature: bytes) -> None:
    match public:
        case rsa.RSAPublicKey():
            pss = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
            public.verify(signature, message, pss, SHA256)
        case ec.EllipticCurvePublicKey():
            digest = {32: hashes.SHA256(), 48: hashes.SHA384(), 64: hashes.SHA512()}[len(message)]
            public.verify(signature, message, ec.ECDSA(Prehashed(digest)))
        case _:
            public.verify(signature, message)


async def used(core: Core, operator: Credentials, key_id: str, **wanted: str) -> bytes:
    """Return what a use of the key answers, decoded."""
    verb, answer_field = next(
        (USES_BY_FIELD[field] for field in wanted if field in USES_BY_FIELD), ("sign", "signature")
    )
    answer = await core.request("POST", f"/keys/{key_id}/{verb}", user=operator, json=wanted)
    assert answer.status == 200, answer
    return base64.b64decode(answer.json()[answer_field])


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}-{file.stem}")
async def test_a_key_of_another_tool_is_imported_and_works(
    core: Core, operator: Credentials, file: Path
) -> None:
    pair, _, form = file.stem.partition(".")
    key_type = pair.removesuffix("-unnamed")
    key_id = f"{file.parent.name}-{pair}-{form}"
    answer = await put_pem(core, key_id, upload(content(file), mechanisms=OF_TYPE[key_type]))
    assert answer.status == 204, answer
    shown = await core.request("GET", f"/keys/{key_id}", user=ADMIN)
    assert shown.json()["type"] == key_type

    public = load_pem_public_key(content(file.parent / f"{pair}.public.pem"))
    if isinstance(public, x25519.X25519PublicKey | x448.X448PublicKey):
        peer = MONTGOMERY[key_type].generate()
        sent = b64(peer.public_key().public_bytes_raw())
        secret = await used(core, operator, key_id, mode="ECDH", publicKey=sent)
        assert secret == peer.exchange(public)
        return
    mode = MODES.get(key_type, "ECDSA")
    message = what_to_sign(key_type, mode)
    signature = await used(core, operator, key_id, mode=mode, message=b64(message))
    verify(public, message, signature)
    with pytest.raises(InvalidSignature):
        verify(public, message, signature[:-1] + bytes([signature[-1] ^ 1]))
    if isinstance(public, rsa.RSAPublicKey):
        encrypted = b64(public.encrypt(b"a secret", padding.PKCS1v15()))
        opened = await used(core, operator, key_id, mode="PKCS1", encrypted=encrypted)
        assert opened == b"a secret"


def test_the_files_are_of_every_tool_and_key_type() -> None:
    tools = {file.parent.name for file in FILES}
    assert tools == {
        "botan",
        "bouncycastle",
        "gnutls",
        "go",
        "java",
        "openssl",
        "openssl-3.5",
        "ring",
        "rustcrypto",
        "ssh-keygen",
    }
    types = {file.stem.partition(".")[0].removesuffix("-unnamed") for file in FILES}
    assert types == set(OF_TYPE) - {"Generic", "BIP32", *NEEDS_OPENSSL_3_5}


REASONS = {
    **{f"ML_DSA_{bits}.expanded.pem": "its seed cannot be told" for bits in (44, 65, 87)},
    "EC_P256.pkcs8-labelled-EC.pem": "contents are a PRIVATE KEY",
    "EC_P256.pkcs8-labelled-RSA.pem": "contents are a PRIVATE KEY",
    "RSA.pkcs1-labelled-EC.pem": "contents are a RSA PRIVATE KEY",
    "certificate.pem": "no private key, only: certificate",
    "dsa-pkcs8.pem": "DSA keys are not supported",
    "dsa.pem": "DSA keys are not supported",
    "encrypted-pkcs1.pem": "is encrypted",
    "encrypted-pkcs8.pem": "is encrypted",
    "encrypted-sec1.pem": "is encrypted",
    "openssh-ecdsa.pem": "OpenSSH's format",
    "openssh-ed25519.pem": "OpenSSH's format",
    "parameters-alone.pem": "no private key, only: ec parameters",
    "pkcs12.p12": "not PEM but DER or PKCS #12",
    "pkcs8.der": "not PEM but DER or PKCS #12",
    "public-key.pem": "no private key, only: public key",
    "request.pem": "no private key, only: certificate request",
    "rsa-pss.pem": "RSASSA-PSS",
    "rsa-public-key.pem": "no private key, only: rsa public key",
    "rsa-three-primes.pem": "more than two primes",
    "rustcrypto-EC_P256-sec1.pem": "does not name its curve",
    "rustcrypto-EC_P256K1-sec1.pem": "does not name its curve",
    "rustcrypto-EC_P384-sec1.pem": "does not name its curve",
    "secp224r1-explicit.pem": "not those of a named curve",
    "secp224r1.pem": "The type of the private key is not supported",
    "sm2.pem": "The curve of the private key is not supported",
    "two-keys.pem": "several private keys",
}


@pytest.mark.parametrize("name", sorted(file.name for file in REFUSED.iterdir()))
async def test_what_cannot_be_imported_is_refused_with_its_reason(core: Core, name: str) -> None:
    sent = content(REFUSED / name)
    answer = await put_pem(core, f"refused-{name}", upload(sent, mechanisms=["ECDSA_Signature"]))
    assert answer.status == 400
    assert REASONS[name] in answer.message
    lines = sent.decode(errors="replace").splitlines()
    assert not any(line in answer.message for line in lines if len(line) > 20)
