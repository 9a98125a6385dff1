"""What a device key gives away, and what not."""

import hashlib
import re

from hypothesis import given
from hypothesis import strategies as st

from keystead.model.secret import Secret
from keystead.sealing.device import device_id, local_config_key, new_device_key

KEY = st.binary(min_size=32, max_size=32)


@given(key=KEY, other=KEY)
def test_a_device_id_is_ten_letters_that_follow_from_the_key(key, other):
    name = device_id(Secret(key))
    assert re.fullmatch("[A-Z2-7]{10}", name)
    assert name == device_id(Secret(key))
    assert (name == device_id(Secret(other))) == (key == other)


def test_the_local_configuration_key_is_nethsms():
    expected = hashlib.sha256(b"k" * 32 + b"early_config_store").digest()
    assert local_config_key(Secret(b"k" * 32)).reveal() == expected


def test_device_keys_are_random():
    first, second = new_device_key().reveal(), new_device_key().reveal()
    assert len(first) == len(second) == 32
    assert first != second
