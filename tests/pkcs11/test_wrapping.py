"""AES: keys wrap and unwrap keys, and messages are sealed with nonces of the server."""

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import (
    aes_key_unwrap,
    aes_key_unwrap_with_padding,
    aes_key_wrap,
    aes_key_wrap_with_padding,
)

from tests.pkcs11.test_processes import run

KEY = bytes(range(32))
VALUE = bytes(range(100, 124))
BEGINNING = f"""
from tests.pkcs11.bare import *
CKM_AES_GCM, CKM_AES_KEY_WRAP, CKM_AES_KEY_WRAP_KWP = 0x1087, 0x2109, 0x210B
CKA_ENCRYPT, CKA_WRAP, CKA_UNWRAP = 0x104, 0x106, 0x107
module = Module()
module.Initialize(None)
session = module.open(READ_WRITE)
def create(values):
    wanted, made = Template(values), ULONG()
    module.CreateObject(session, wanted.array, wanted.count, ctypes.byref(made))
    return made
def aes_key(key_id):
    return create({{
        CKA_CLASS: SECRET, CKA_KEY_TYPE: CKK_AES, CKA_TOKEN: True, CKA_ID: key_id,
        CKA_ENCRYPT: True, CKA_WRAP: True, CKA_UNWRAP: True, CKA_VALUE: {KEY!r},
    }})
"""


@pytest.mark.parametrize(
    ("mechanism", "wrap", "unwrap"),
    [
        ("CKM_AES_KEY_WRAP", aes_key_wrap, aes_key_unwrap),
        ("CKM_AES_KEY_WRAP_KWP", aes_key_wrap_with_padding, aes_key_unwrap_with_padding),
    ],
)
def test_a_secret_is_wrapped_and_unwrapped_as_other_code_does_it(token, mechanism, wrap, unwrap):
    said = run(
        token,
        f"""
        key = aes_key(b"{mechanism}")
        how = ctypes.byref(Mechanism({mechanism}, None, 0))
        secret = create({{
            CKA_CLASS: SECRET, CKA_KEY_TYPE: CKK_GENERIC_SECRET, CKA_VALUE: {VALUE!r},
        }})
        length = ULONG()
        module.WrapKey(session, how, key, secret, None, ctypes.byref(length))
        room = ctypes.create_string_buffer(length.value)
        module.WrapKey(session, how, key, secret, room, ctypes.byref(length))
        print(room.raw[:length.value].hex())
        wanted, made = Template({{CKA_CLASS: SECRET, CKA_KEY_TYPE: CKK_GENERIC_SECRET}}), ULONG()
        def unwrapped(wrapped):
            return module.call(
                "C_UnwrapKey", session, how, key, wrapped, ULONG(len(wrapped)),
                wanted.array, wanted.count, ctypes.byref(made),
            )
        assert unwrapped({wrap(KEY, VALUE)!r}) == 0
        assert module.value(session, made) == {VALUE!r}
        assert unwrapped(bytes(32)) == 0x110
        assert unwrapped(bytes(33)) == 0x112
        """,
        beginning=BEGINNING,
    )
    assert unwrap(KEY, bytes.fromhex(said)) == VALUE


def test_a_wrapped_key_becomes_one_of_the_token_and_none_of_it_is_wrapped(token):
    run(
        token,
        f"""
        key = aes_key(b"unwraps")
        how = ctypes.byref(Mechanism(CKM_AES_KEY_WRAP, None, 0))
        wanted, made = Template({{
            CKA_CLASS: SECRET, CKA_KEY_TYPE: CKK_AES, CKA_TOKEN: True, CKA_ID: b"unwrapped",
        }}), ULONG()
        wrapped = {aes_key_wrap(KEY, KEY)!r}
        module.UnwrapKey(
            session, how, key, wrapped, ULONG(len(wrapped)),
            wanted.array, wanted.count, ctypes.byref(made),
        )
        assert module.find(session, b"unwrapped", SECRET).value == made.value
        length = ULONG()
        for unextractable in (made, module.find(session, b"EC_P256")):
            refused = module.call(
                "C_WrapKey", session, how, key, unextractable, None, ctypes.byref(length)
            )
            assert refused == 0x6A
        """,
        beginning=BEGINNING,
    )
    kept = token.server.request("GET", "/keys/unwrapped", user="admin").json()
    assert kept["type"] == "Generic"


def test_each_message_has_a_nonce_of_the_server_and_no_change_of_it_is_decrypted(token):
    said = run(
        token,
        """
        key = aes_key(b"messages")
        how = ctypes.byref(Mechanism(CKM_AES_GCM, None, 0))
        class Gcm(ctypes.Structure):
            _fields_ = [
                ("iv", ctypes.c_void_p), ("iv_length", ULONG), ("fixed_bits", ULONG),
                ("generator", ULONG), ("tag", ctypes.c_void_p), ("tag_bits", ULONG),
            ]
        iv, tag = ctypes.create_string_buffer(12), ctypes.create_string_buffer(16)
        def parameters(generator):
            places = ctypes.addressof(iv), 12, 0, generator, ctypes.addressof(tag), 128
            return ctypes.byref(Gcm(*places)), ULONG(ctypes.sizeof(Gcm))
        def message(name, text, generator=3):
            room, length = ctypes.create_string_buffer(64), ULONG(64)
            answer = module.call(
                name, session, *parameters(generator), b"more", ULONG(4),
                text, ULONG(len(text)), room, ctypes.byref(length),
            )
            return answer, room.raw[:length.value]
        module.MessageEncryptInit(session, how, key)
        assert module.call("C_MessageEncryptInit", session, how, key) == 0x90
        assert message("C_EncryptMessage", b"text", generator=0)[0] == 0x71
        nonces = set()
        for _ in range(3):
            answer, sealed = message("C_EncryptMessage", b"a message")
            assert answer == 0
            nonces.add(iv.raw)
        assert len(nonces) == 3
        module.MessageEncryptFinal(session)
        assert message("C_EncryptMessage", b"text")[0] == 0x91
        print(iv.raw.hex(), tag.raw.hex(), sealed.hex())
        module.MessageDecryptInit(session, how, key)
        assert message("C_DecryptMessage", sealed) == (0, b"a message")
        iv[0] = iv.raw[0] ^ 1
        assert message("C_DecryptMessage", sealed)[0] == 0x40
        """,
        beginning=BEGINNING,
    )
    iv, tag, sealed = map(bytes.fromhex, said.split())
    assert AESGCM(KEY).decrypt(iv, sealed + tag, b"more") == b"a message"
