"""The module where the server has NetHSM's API and none of our extensions.

The tests of other files run here a second time, through a server that refuses our extensions.
"""

from collections.abc import Iterator

import pytest

from tests.pkcs11.conftest import Token
from tests.pkcs11.test_pkcs11_tool import (  # noqa: F401 - they are run
    test_a_certificate_is_stored_beside_its_key_and_read_back,
    test_a_wrong_pin_is_refused_as_such_and_the_right_one_serves,
    test_an_ed25519_signature_has_64_bytes_and_verifies,
    test_keys_are_brought_in_and_sign,
    test_keys_are_generated_labelled_and_deleted,
    test_openssl_accepts_what_the_module_signs,
    test_pkcs11_tool_finds_no_fault,
    test_random_bytes_come_from_the_server,
    test_the_configuration_hides_keys_by_type_and_prefix,
    test_the_keys_of_the_server_are_listed_with_both_halves,
    test_the_module_decrypts_what_openssl_encrypts,
)
from tests.pkcs11.test_processes import run
from tests.pkcs11.test_python_pkcs11 import (  # noqa: F401 - they are run
    test_a_key_of_a_session_ends_with_it_and_a_copy_of_it_stays,
    test_aes_encrypts_and_decrypts_with_and_without_padding_in_parts,
    test_an_attribute_that_is_not_there_or_does_not_leave_is_refused_as_such,
    test_each_attribute_of_a_template_counts,
    test_the_public_object_of_a_destroyed_key_can_still_be_destroyed,
    test_what_the_private_key_signs_the_public_key_verifies_and_nothing_else,
    test_what_the_public_key_encrypts_the_private_key_decrypts,
)
from tests.support.nethsm_alone import NetHsmAlone, nethsm_alone
from tests.support.server import Server


@pytest.fixture(scope="module")
def alone(
    server_with_keys: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[NetHsmAlone]:
    with nethsm_alone(server_with_keys, tmp_path_factory.mktemp("alone")) as server:
        yield server


@pytest.fixture
def token(token: Token, alone: NetHsmAlone) -> Token:
    token.settings |= {
        "instances": f'["{alone.url}"]',
        "pinned-sha256": f'["{alone.fingerprint}"]',
    }
    return token


def test_an_aes_key_gets_the_mechanisms_that_the_server_knows(
    token: Token, alone: NetHsmAlone
) -> None:
    alone.refused.clear()
    run(
        token,
        """
        from tests.pkcs11.bare import *
        module = Module()
        module.Initialize(None)
        session, made = module.open(READ_WRITE), ULONG()
        CKA_WRAP, CKA_VALUE_LEN, CKA_LABEL, CKM_AES_KEY_GEN = 0x106, 0x161, 0x3, 0x1080
        wanted = Template({
            CKA_ID: b"alone", CKA_TOKEN: True, CKA_WRAP: True, CKA_VALUE_LEN: 32,
        })
        how = ctypes.byref(Mechanism(CKM_AES_KEY_GEN, None, 0))
        module.GenerateKey(session, how, wanted.array, wanted.count, ctypes.byref(made))
        """,
        beginning="",
    )
    assert alone.refused == ["POST /keys/generate"]
    made = token.server.request("GET", "/keys/alone", user="admin").json()
    assert sorted(made["mechanisms"]) == ["AES_Decryption_CBC", "AES_Encryption_CBC"]


def test_what_the_server_has_not_is_refused_before_or_by_it(token: Token) -> None:
    run(
        token,
        """
        class Ecdh(ctypes.Structure):
            _fields_ = [
                ("kdf", ULONG), ("shared_length", ULONG), ("shared", ctypes.c_void_p),
                ("public_length", ULONG), ("public", ctypes.c_char_p),
            ]
        given = Ecdh(1, 0, None, 65, bytes(65))
        how = Mechanism(0x1050, ctypes.addressof(given), ctypes.sizeof(given))
        wanted, made = Template({CKA_CLASS: SECRET}), ULONG()
        refused = module.call(
            "C_DeriveKey", session, ctypes.byref(how), key,
            wanted.array, wanted.count, ctypes.byref(made),
        )
        assert refused == 0x68, hex(refused)
        """,
    )
