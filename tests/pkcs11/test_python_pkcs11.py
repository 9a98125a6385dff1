"""python-pkcs11, which checks what it gets: signatures, ciphertexts, secrets, objects."""

import sys
import textwrap

from tests.pkcs11.conftest import ROOT, Token

BEGINNING = """
import os, sys, pkcs11
from pkcs11 import *
from pkcs11.mechanisms import *
token = pkcs11.lib(sys.argv[1]).get_token(token_label="keystead")
"""


def run(token: Token, program: str) -> str:
    script = BEGINNING + textwrap.dedent(program)
    return token.run(sys.executable, "-c", script, token.module, PYTHONPATH=str(ROOT))


def test_what_the_private_key_signs_the_public_key_verifies_and_nothing_else(token):
    run(
        token,
        """
        pss = (Mechanism.SHA256, MGF.SHA256, 32)
        cases = [
            ("EC_P256", Mechanism.ECDSA, None, 32), ("EC_P256", Mechanism.ECDSA_SHA256, None, 99),
            ("EC_P256", Mechanism.ECDSA, None, 20), ("EC_P256", Mechanism.ECDSA, None, 48),
            ("EC_P384", Mechanism.ECDSA_SHA512, None, 99), ("EC_P521", Mechanism.ECDSA, None, 64),
            ("EC_P384", Mechanism.ECDSA_SHA1, None, 99), ("Curve25519", Mechanism.EDDSA, None, 99),
            ("RSA", Mechanism.RSA_PKCS, None, 51), ("RSA", Mechanism.SHA384_RSA_PKCS, None, 99),
            ("RSA", Mechanism.RSA_PKCS_PSS, pss, 32),
            ("RSA", Mechanism.SHA256_RSA_PKCS_PSS, pss, 99),
        ]
        with token.open() as session:
            for key_id, mechanism, parameter, size in cases:
                find = {Attribute.ID: key_id.encode()}
                (private,) = session.get_objects({**find, Attribute.CLASS: ObjectClass.PRIVATE_KEY})
                (public,) = session.get_objects({**find, Attribute.CLASS: ObjectClass.PUBLIC_KEY})
                how = {"mechanism": mechanism, "mechanism_param": parameter}
                data = bytes(range(size))
                signature = private.sign(data, **how)
                assert public.verify(data, signature, **how), (key_id, mechanism)
                other = bytes([data[0] ^ 1]) + data[1:]
                assert not public.verify(other, signature, **how), (key_id, mechanism)
                assert not public.verify(data, signature[:-1] + bytes([signature[-1] ^ 1]), **how)
                assert not public.verify(data, signature[:-1], **how)
        """,
    )


def test_what_the_public_key_encrypts_the_private_key_decrypts(token):
    run(
        token,
        """
        oaep = (Mechanism.SHA256, MGF.SHA256, None)
        with token.open() as session:
            private = session.get_key(object_class=ObjectClass.PRIVATE_KEY, id=b"RSA")
            public = session.get_key(object_class=ObjectClass.PUBLIC_KEY, id=b"RSA")
            cases = [(Mechanism.RSA_PKCS, None), (Mechanism.RSA_PKCS_OAEP, oaep)]
            for mechanism, parameter in cases:
                for secret in (b"", b"x", bytes(100)):
                    how = {"mechanism": mechanism, "mechanism_param": parameter}
                    encrypted = public.encrypt(secret, **how)
                    assert len(encrypted) == 256
                    assert private.decrypt(encrypted, **how) == secret
        """,
    )


def test_aes_encrypts_and_decrypts_with_and_without_padding_in_parts(token):
    run(
        token,
        """
        iv = bytes(range(16))
        with token.open() as session:
            key = session.get_key(object_class=ObjectClass.SECRET_KEY, id=b"Generic")
            for size in (0, 1, 15, 16, 17, 100):
                encrypted = key.encrypt(bytes(size), mechanism_param=iv)
                assert len(encrypted) == size // 16 * 16 + 16
                assert key.decrypt(encrypted, mechanism_param=iv) == bytes(size)
            parts = [b"a" * 30, b"b" * 2]
            how = {"mechanism_param": iv, "mechanism": Mechanism.AES_CBC}
            encrypted = b"".join(key.encrypt(parts, **how))
            assert len(encrypted) == 32
            back = key.decrypt([encrypted[:5], encrypted[5:]], **how)
            assert b"".join(back) == b"".join(parts)
        """,
    )


def test_aes_authenticates_a_message(token):
    run(
        token,
        """
        with token.open() as session:
            key = session.get_key(object_class=ObjectClass.SECRET_KEY, id=b"Generic")
            mac = key.sign(b"message", mechanism=Mechanism.AES_CMAC)
            assert key.verify(b"message", mac, mechanism=Mechanism.AES_CMAC)
            assert not key.verify(b"massage", mac, mechanism=Mechanism.AES_CMAC)
        """,
    )


def test_both_parties_of_ecdh_derive_the_same_secret(token):
    run(
        token,
        """
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
        other = ec.generate_private_key(ec.SECP256R1())
        point = other.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        with token.open() as session:
            private = session.get_key(object_class=ObjectClass.PRIVATE_KEY, id=b"EC_P256")
            public = session.get_key(object_class=ObjectClass.PUBLIC_KEY, id=b"EC_P256")
            ours = ec.EllipticCurvePublicKey.from_encoded_point(
                ec.SECP256R1(), bytes(public[Attribute.EC_POINT])[2:])
            template = {Attribute.SENSITIVE: False, Attribute.EXTRACTABLE: True}
            how = {"mechanism_param": (KDF.NULL, None, point), "template": template}
            secret = private.derive_key(KeyType.GENERIC_SECRET, 256, **how)
            assert secret[Attribute.VALUE] == other.exchange(ec.ECDH(), ours)
        """,
    )


def test_an_attribute_that_is_not_there_or_does_not_leave_is_refused_as_such(token):
    run(
        token,
        """
        from pkcs11.exceptions import AttributeSensitive, AttributeTypeInvalid
        with token.open() as session:
            private = session.get_key(object_class=ObjectClass.PRIVATE_KEY, id=b"RSA")
            for attribute, reason in (
                (Attribute.PRIVATE_EXPONENT, AttributeSensitive),
                (Attribute.EC_PARAMS, AttributeTypeInvalid),
            ):
                try:
                    private[attribute]
                except reason:
                    continue
                raise AssertionError(attribute)
            for attribute in (
                Attribute.SIGN, Attribute.DECRYPT, Attribute.UNWRAP, Attribute.SIGN_RECOVER,
                Attribute.DERIVE, Attribute.SENSITIVE, Attribute.EXTRACTABLE, Attribute.LOCAL,
                Attribute.ALWAYS_AUTHENTICATE, Attribute.ALWAYS_SENSITIVE, Attribute.PRIVATE,
                Attribute.NEVER_EXTRACTABLE, Attribute.WRAP_WITH_TRUSTED, Attribute.MODIFIABLE,
                Attribute.TOKEN, Attribute.COPYABLE, Attribute.DESTROYABLE,
            ):
                assert private[attribute] in (True, False)
        """,
    )


def test_each_attribute_of_a_template_counts(token):
    run(
        token,
        """
        with token.open() as session:
            def count(**wanted):
                template = {getattr(Attribute, name.upper()): wanted[name] for name in wanted}
                return len(list(session.get_objects(template)))
            assert count(id=b"EC_P256") == 2
            assert count(id=b"EC_P256", sign=True) == 1
            assert count(id=b"EC_P256", decrypt=True) == 0
            assert count(label="the EC_P256", key_type=KeyType.EC) == 2
            assert count(label="the EC_P256", key_type=KeyType.RSA) == 0
            assert count(label="the") == 0
            assert count(key_type=KeyType.RSA, modulus_bits=2048) == 1
            assert count(key_type=KeyType.RSA, modulus_bits=2049) == 0
            assert count(token=False) == 0
        """,
    )


def test_a_key_of_a_session_ends_with_it_and_a_copy_of_it_stays(token):
    run(
        token,
        """
        def pair(session, key_id):
            curve = pkcs11.util.ec.encode_named_curve_parameters("secp256r1")
            named = {Attribute.EC_PARAMS: curve}
            parameters = session.create_domain_parameters(KeyType.EC, named, local=True)
            return parameters.generate_keypair(id=key_id, store=False)
        import pkcs11.util.ec
        with token.open(rw=True) as session:
            _, gone = pair(session, b"session-gone")
            public, stays = pair(session, b"session-stays")
            gone.sign(bytes(32), mechanism=Mechanism.ECDSA)
            copy = stays.copy({Attribute.TOKEN: True, Attribute.LABEL: "stays"})
            public.destroy()
        with token.open() as session:
            left = session.get_key(object_class=ObjectClass.PRIVATE_KEY, label="stays")
            left.sign(bytes(32), mechanism=Mechanism.ECDSA)
        """,
    )
    status = {
        name: token.server.request("GET", f"/keys/session-{name}", user="admin").status
        for name in ("gone", "stays")
    }
    assert status == {"gone": 404, "stays": 200}


def test_the_public_object_of_a_destroyed_key_can_still_be_destroyed(token):
    run(
        token,
        """
        with token.open(rw=True) as session:
            made = session.generate_keypair(KeyType.RSA, 2048, id=b"to-destroy", store=True)
            public, private = made
            assert public[Attribute.MODULUS_BITS] == 2048
            private.destroy()
            public.destroy()
            assert not list(session.get_objects({Attribute.ID: b"to-destroy"}))
        """,
    )
