"""The curves of the key types, as the library has them."""

from types import MappingProxyType

from cryptography.hazmat.primitives.asymmetric import ec, x448, x25519

WEIERSTRASS = MappingProxyType(
    {
        "EC_P256": ec.SECP256R1(),
        "EC_P384": ec.SECP384R1(),
        "EC_P521": ec.SECP521R1(),
        "EC_P256K1": ec.SECP256K1(),
        "BrainpoolP256": ec.BrainpoolP256R1(),
        "BrainpoolP384": ec.BrainpoolP384R1(),
        "BrainpoolP512": ec.BrainpoolP512R1(),
    }
)
MONTGOMERY = MappingProxyType(
    {"X25519": x25519.X25519PrivateKey, "X448": x448.X448PrivateKey},
)
