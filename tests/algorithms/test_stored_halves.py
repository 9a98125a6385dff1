"""Public halves that are stored beside their private keys: the same as those of the parsed keys."""

import os
from dataclasses import replace

import pytest

from keystead import algorithms
from keystead.algorithms import ShownPublic, stored_half
from keystead.errors import CorruptRecord
from tests.support import beyond_nethsm

STORE_IT = {row.name for row in algorithms.ALL if row.stores_public}


def new_key(name: str) -> algorithms.PrivateKey:
    return algorithms.BY_NAME[name].generate({"RSA": 1024, "Generic": 256}.get(name))


def test_no_record_of_a_type_that_a_nethsm_has_gets_a_field_that_it_does_not_know():
    assert {"ML_DSA_44", "ML_DSA_65", "ML_DSA_87", "ML_KEM_768", "ML_KEM_1024"} <= STORE_IT
    assert set(beyond_nethsm.KEY_TYPES) >= STORE_IT


@pytest.mark.parametrize("name", algorithms.BY_NAME)
def test_a_key_stores_its_public_half_if_its_type_does(name: str):
    key = new_key(name)
    public = key.material().public
    if name not in STORE_IT:
        assert public is None
        return
    assert algorithms.PublicParts(data=public) == key.public()
    assert algorithms.load(replace(key.material(), public=None)).material() == key.material()


@pytest.mark.parametrize("name", sorted(STORE_IT))
def test_what_is_shown_of_it_is_that_of_the_parsed_key(name: str):
    for _ in range(3):
        key = new_key(name)
        public = key.material().public or b""
        assert stored_half(name, public) == ShownPublic(name, key.public(), key.public_pem())


@pytest.mark.parametrize("name", sorted(STORE_IT))
def test_bytes_that_are_too_many_or_too_few_are_not_shown(name: str):
    public = new_key(name).material().public or b""
    for other in (b"", public[:-1], public + b"\0"):
        assert stored_half(name, other) is None


def test_types_that_store_none_show_none():
    for name in set(algorithms.BY_NAME) - STORE_IT:
        assert stored_half(name, bytes(32)) is None


@pytest.mark.parametrize("name", [*sorted(STORE_IT), "EC_P256", "RSA", "Curve25519"])
def test_a_key_beside_the_public_half_of_another_is_corrupt(name: str):
    material, public = new_key(name).material(), new_key(name).material().public
    with pytest.raises(CorruptRecord, match="belongs to another private key"):
        algorithms.load(replace(material, public=public or os.urandom(65)))
