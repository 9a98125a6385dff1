import pytest

from keystead import algorithms
from keystead.algorithms import PrivateKey
from keystead.model.keys import PrivateMaterial
from tests.algorithms.published_vectors import OURS


def make_key(type_name: str) -> PrivateKey:
    """Return a key of the type; the RSA one is always the same, since making one is slow."""
    if type_name == "RSA":
        return algorithms.load(PrivateMaterial(pem=(OURS / "keys" / "rsa-2048.pem").read_bytes()))
    return algorithms.BY_NAME[type_name].generate(256)


@pytest.fixture(params=algorithms.BY_NAME)
def any_key(request: pytest.FixtureRequest) -> PrivateKey:
    return make_key(request.param)


@pytest.fixture
def rsa_key() -> PrivateKey:
    return make_key("RSA")
