"""Use a key of the token, by python-pkcs11.

use.py sign KEY FILE SIGNATURE
use.py decrypt KEY
use.py agree KEY
"""

import os
import sys
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pkcs11.util.ec import encode_ecdsa_signature

import pkcs11
from pkcs11 import KDF, MGF, Attribute, KeyType, Mechanism, ObjectClass

OAEP = {
    "mechanism": Mechanism.RSA_PKCS_OAEP,
    "mechanism_param": (Mechanism.SHA256, MGF.SHA256, None),
}


def sign(private: pkcs11.PrivateKey, public: pkcs11.PublicKey, file: str, signature: str) -> bool:
    """Write the signature of a file, and have the module verify it."""
    message = Path(file).read_bytes()
    signed = private.sign(message, mechanism=Mechanism.ECDSA_SHA256)
    Path(signature).write_bytes(encode_ecdsa_signature(signed))
    return public.verify(message, signed, mechanism=Mechanism.ECDSA_SHA256)


def decrypt(private: pkcs11.PrivateKey, public: pkcs11.PublicKey) -> bool:
    """Encrypt a secret with the public key, without the HSM; decrypt it with the private key."""
    secret = os.urandom(32)
    return private.decrypt(public.encrypt(secret, **OAEP), **OAEP) == secret


def agree(private: pkcs11.PrivateKey, public: pkcs11.PublicKey) -> bool:
    """Agree on a secret with somebody else, who has a key outside of the HSM."""
    theirs = ec.generate_private_key(ec.SECP256R1())
    point = theirs.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    # The module's secret stays in its process, so it may be read.
    template = {Attribute.SENSITIVE: False, Attribute.EXTRACTABLE: True}
    parameters = {"mechanism_param": (KDF.NULL, None, point), "template": template}
    ours = private.derive_key(KeyType.GENERIC_SECRET, 256, **parameters)
    # CKA_EC_POINT is an OCTET STRING in DER: two bytes come before the point.
    public_point = bytes(public[Attribute.EC_POINT])[2:]
    peer = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public_point)
    return bool(ours[Attribute.VALUE] == theirs.exchange(ec.ECDH(), peer))


USES = {"sign": sign, "decrypt": decrypt, "agree": agree}


def main() -> None:
    """Log in, find both halves of the key, and print whether its use did what it should."""
    use, label, *rest = sys.argv[1:]
    token = pkcs11.lib(os.environ["MODULE"]).get_token(token_label="hsm")  # noqa: S106 - a name
    with token.open(user_pin=os.environ["KEYSTEAD_PASSPHRASE"]) as session:
        private, public = (
            session.get_key(object_class=half, label=label)
            for half in (ObjectClass.PRIVATE_KEY, ObjectClass.PUBLIC_KEY)
        )
        print(use, USES[use](private, public, *rest))


main()
