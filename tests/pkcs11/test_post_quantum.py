"""ML-DSA and ML-KEM, of PKCS#11 3.2: keys are made, found and used, and other code checks."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PublicKey, MLKEM1024PublicKey

from tests.pkcs11.conftest import Token
from tests.pkcs11.test_processes import run

BEGINNING = """
from tests.pkcs11.bare import *
CKM_ML_KEM_KEY_PAIR_GEN, CKM_ML_KEM, CKM_ML_DSA_KEY_PAIR_GEN, CKM_ML_DSA = 15, 23, 28, 29
module = Module()
module.Initialize(None)
session = module.open(READ_WRITE)
"""
SECRET = """
how = ctypes.byref(Mechanism(CKM_ML_KEM, None, 0))
wanted = Template({CKA_CLASS: SECRET, CKA_KEY_TYPE: CKK_GENERIC_SECRET, CKA_SENSITIVE: False})
"""


@pytest.mark.parametrize(("number", "name"), [(1, "ML_DSA_44"), (2, "ML_DSA_65"), (3, "ML_DSA_87")])
def test_a_key_of_each_parameter_set_is_made_and_signs(
    token: Token, number: int, name: str
) -> None:
    said = run(
        token,
        f"""
        halves = module.generate_pair(session, CKM_ML_DSA_KEY_PAIR_GEN, {number}, b"{name}")
        key = module.find(session, b"{name}")
        assert key.value == halves[1].value
        print(module.sign(session, key, CKM_ML_DSA).hex())
        """,
        beginning=BEGINNING,
    )
    wanted = {
        "mode": "ML_DSA",
        "message": base64.b64encode(bytes(32)).decode(),
        "signature": base64.b64encode(bytes.fromhex(said)).decode(),
    }
    path = f"/keys/{name}"
    assert token.server.request("GET", path, user="admin").json()["type"] == name
    answer = token.server.request("POST", f"{path}/verify", user="operator", json=wanted)
    assert answer.json() == {"valid": True}


@pytest.mark.parametrize(
    ("number", "name", "kind"),
    [(2, "ML_KEM_768", MLKEM768PublicKey), (3, "ML_KEM_1024", MLKEM1024PublicKey)],
)
def test_a_secret_that_is_encapsulated_for_a_key_is_decapsulated_with_it(
    token: Token, number: int, name: str, kind: type[MLKEM768PublicKey | MLKEM1024PublicKey]
) -> None:
    said = run(
        token,
        f"""
        public, private = module.generate_pair(
            session, CKM_ML_KEM_KEY_PAIR_GEN, {number}, b"{name}"
        )
        found = module.find(session, b"{name}", PUBLIC)
        length, here, there = ULONG(), ULONG(), ULONG()
        arguments = (session, how, found, wanted.array, wanted.count)
        module.EncapsulateKey(*arguments, None, ctypes.byref(length), ctypes.byref(here))
        room = ctypes.create_string_buffer(length.value)
        short = ULONG(length.value - 1)
        refused = module.call(
            "C_EncapsulateKey", *arguments, room, ctypes.byref(short), ctypes.byref(here)
        )
        assert (refused, here.value) == (0x150, 0)
        module.EncapsulateKey(*arguments, room, ctypes.byref(length), ctypes.byref(here))
        arguments = (session, how, private, wanted.array, wanted.count, room)
        module.DecapsulateKey(*arguments, length, ctypes.byref(there))
        assert here.value != there.value
        assert module.value(session, here) == module.value(session, there)
        assert len(module.value(session, here)) == 32
        assert module.call("C_DecapsulateKey", *arguments, ULONG(9), ctypes.byref(there)) == 0x41
        print(module.value(session, public).hex())
        """,
        beginning=BEGINNING + SECRET,
    )
    secret, ciphertext = kind.from_public_bytes(bytes.fromhex(said)).encapsulate()
    said = run(
        token,
        f"""
        there, ciphertext = ULONG(), bytes.fromhex("{ciphertext.hex()}")
        module.DecapsulateKey(
            session, how, module.find(session, b"{name}"), wanted.array, wanted.count,
            ciphertext, ULONG(len(ciphertext)), ctypes.byref(there),
        )
        print(module.value(session, there).hex())
        """,
        beginning=BEGINNING + SECRET,
    )
    assert bytes.fromhex(said) == secret


def test_a_secret_of_ml_kem_is_not_made_on_the_token_or_of_another_kind_of_key(
    token: Token,
) -> None:
    run(
        token,
        """
        public, private = module.generate_pair(session, CKM_ML_KEM_KEY_PAIR_GEN, 2, b"kem")
        room, length, made = ctypes.create_string_buffer(2048), ULONG(2048), ULONG()
        def refused(key, values):
            wanted = Template({CKA_CLASS: SECRET, CKA_KEY_TYPE: CKK_GENERIC_SECRET, **values})
            return module.call(
                "C_EncapsulateKey", session, how, key, wanted.array, wanted.count,
                room, ctypes.byref(length), ctypes.byref(made),
            )
        assert refused(public, {CKA_TOKEN: True}) == 0xD1
        assert refused(public, {CKA_SENSITIVE: True}) == 0xD1
        assert refused(private, {}) == 0x68
        assert refused(module.find(session, b"EC_P256", PUBLIC), {}) == 0x63
        assert refused(ULONG(999_999), {}) == 0x60
        """,
        beginning=BEGINNING + SECRET,
    )


def test_every_function_of_pkcs11_3_2_is_in_its_list(token: Token) -> None:
    run(
        token,
        """
        class Interface(ctypes.Structure):
            _fields_ = [("name", ctypes.c_char_p), ("list", ctypes.c_void_p), ("flags", ULONG)]
        def of_version(*version):
            found = ctypes.POINTER(Interface)()
            wanted = bytes(version) if version else None
            module.GetInterface(b"PKCS 11", wanted, ctypes.byref(found), ULONG(0))
            version = ctypes.cast(found.contents.list, ctypes.POINTER(ctypes.c_ubyte))[:2]
            return found.contents.list, tuple(version)
        for version, functions in ((2, 40), 68), ((3, 0), 92), ((3, 2), 104):
            address, told = of_version(*version)
            assert told == version
            functions = ctypes.cast(address + 8, ctypes.POINTER(ctypes.c_void_p))[:functions]
            assert all(functions)
        last = ctypes.cast(module.library.C_UnwrapKeyAuthenticated, ctypes.c_void_p)
        assert functions[-1] == last.value
        assert of_version()[1] == (3, 2)
        refused = module.call(
            "C_GetInterface", b"PKCS 11", bytes((3, 1)), ctypes.byref(ctypes.c_void_p()), ULONG(0)
        )
        assert refused == 0x6
        """,
        beginning=BEGINNING,
    )
