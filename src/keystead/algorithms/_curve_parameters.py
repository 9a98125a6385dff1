"""The parameters of the curves that keys may be on, for files that spell them out."""

from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


class _Curve(msgspec.Struct, frozen=True):
    """y² = x³ + ax + b modulo a prime. The library knows base point and order."""

    curve: ec.EllipticCurve
    prime: int
    a: int
    b: int

    def has_base(self, point: bytes) -> bool:
        """Return whether `point`, in any form, is the base point."""
        return point in forms_of(ec.derive_private_key(1, self.curve).public_key())


def forms_of(public: ec.EllipticCurvePublicKey) -> set[bytes]:
    """Return a point in all its forms: uncompressed, compressed (SEC 1, 2.3.3) and hybrid.

    The hybrid form (X9.62, 4.3.6), which OpenSSL writes, is the uncompressed one with y's last bit
    in its first byte too.
    """
    whole = public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    compressed = public.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    return {whole, compressed, bytes([6 | (whole[-1] & 1)]) + whole[1:]}


def curve_of(*, prime: int, a: int, b: int, base: bytes, order: int) -> ec.EllipticCurve | None:
    """Return the curve that has exactly these parameters; None if it is none of ours."""
    for row in _CURVES:
        same = (row.prime, row.a, row.b, row.curve.group_order) == (prime, a, b, order)
        if same and row.has_base(base):
            return row.curve
    return None


_CURVES: Final = (
    _Curve(  # SP 800-186, 3.2.1.3
        ec.SECP256R1(),
        prime=0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF,
        a=0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFC,
        b=0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B,
    ),
    _Curve(  # SP 800-186, 3.2.1.4
        ec.SECP384R1(),
        prime=int(
            "fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe"
            "ffffffff0000000000000000ffffffff",
            16,
        ),
        a=int(
            "fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe"
            "ffffffff0000000000000000fffffffc",
            16,
        ),
        b=int(
            "b3312fa7e23ee7e4988e056be3f82d19181d9c6efe8141120314088f5013875a"
            "c656398d8a2ed19d2a85c8edd3ec2aef",
            16,
        ),
    ),
    _Curve(  # SP 800-186, 3.2.1.5
        ec.SECP521R1(),
        prime=int(
            "1fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
            "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
            "fff",
            16,
        ),
        a=int(
            "1fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
            "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
            "ffc",
            16,
        ),
        b=int(
            "51953eb9618e1c9a1f929a21a0b68540eea2da725b99b315f3b8b489918ef109"
            "e156193951ec7e937b1652c0bd3bb1bf073573df883d2c34f1ef451fd46b503f"
            "00",
            16,
        ),
    ),
    _Curve(  # SEC 2, 2.4.1
        ec.SECP256K1(),
        prime=0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEFFFFFC2F,
        a=0x0,
        b=0x7,
    ),
    _Curve(  # RFC 5639, 3.4
        ec.BrainpoolP256R1(),
        prime=0xA9FB57DBA1EEA9BC3E660A909D838D726E3BF623D52620282013481D1F6E5377,
        a=0x7D5A0975FC2C3057EEF67530417AFFE7FB8055C126DC5C6CE94A4B44F330B5D9,
        b=0x26DC5C6CE94A4B44F330B5D9BBD77CBF958416295CF7E1CE6BCCDC18FF8C07B6,
    ),
    _Curve(  # RFC 5639, 3.6
        ec.BrainpoolP384R1(),
        prime=int(
            "8cb91e82a3386d280f5d6f7e50e641df152f7109ed5456b412b1da197fb71123"
            "acd3a729901d1a71874700133107ec53",
            16,
        ),
        a=int(
            "7bc382c63d8c150c3c72080ace05afa0c2bea28e4fb22787139165efba91f90f"
            "8aa5814a503ad4eb04a8c7dd22ce2826",
            16,
        ),
        b=int(
            "4a8c7dd22ce28268b39b55416f0447c2fb77de107dcd2a62e880ea53eeb62d57"
            "cb4390295dbc9943ab78696fa504c11",
            16,
        ),
    ),
    _Curve(  # RFC 5639, 3.7
        ec.BrainpoolP512R1(),
        prime=int(
            "aadd9db8dbe9c48b3fd4e6ae33c9fc07cb308db3b3c9d20ed6639cca70330871"
            "7d4d9b009bc66842aecda12ae6a380e62881ff2f2d82c68528aa6056583a48f3",
            16,
        ),
        a=int(
            "7830a3318b603b89e2327145ac234cc594cbdd8d3df91610a83441caea9863bc"
            "2ded5d5aa8253aa10a2ef1c98b9ac8b57f1117a72bf2c7b9e7c1ac4d77fc94ca",
            16,
        ),
        b=int(
            "3df91610a83441caea9863bc2ded5d5aa8253aa10a2ef1c98b9ac8b57f1117a7"
            "2bf2c7b9e7c1ac4d77fc94cadc083e67984050b75ebae5dd2809bd638016f723",
            16,
        ),
    ),
)
