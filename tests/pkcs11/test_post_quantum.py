"""ML-DSA, of PKCS#11 3.2: keys are made, found and used, and the server checks."""

import base64

import pytest

from tests.pkcs11.conftest import Token
from tests.pkcs11.test_processes import run

BEGINNING = """
from tests.pkcs11.bare import *
CKM_ML_DSA_KEY_PAIR_GEN, CKM_ML_DSA = 28, 29
CKA_PARAMETER_SET, READ_WRITE = 0x61D, 6
module = Module()
module.Initialize(None)
session = module.open(READ_WRITE)
"""


@pytest.mark.parametrize(("number", "name"), [(1, "ML_DSA_44"), (2, "ML_DSA_65"), (3, "ML_DSA_87")])
def test_a_key_of_each_parameter_set_is_made_and_signs(
    token: Token, number: int, name: str
) -> None:
    said = run(
        token,
        f"""
        chosen, on_token = ULONG({number}), ctypes.c_ubyte(1)
        key_id = ctypes.create_string_buffer(b"{name}", {len(name)})
        public = (Attribute * 1)(Attribute(CKA_PARAMETER_SET, ctypes.addressof(chosen), 8))
        private = (Attribute * 2)(
            Attribute(1, ctypes.addressof(on_token), 1),
            Attribute(CKA_ID, ctypes.addressof(key_id), {len(name)}),
        )
        halves = ULONG(), ULONG()
        module.GenerateKeyPair(
            session, ctypes.byref(Mechanism(CKM_ML_DSA_KEY_PAIR_GEN, None, 0)),
            public, ULONG(1), private, ULONG(2), *map(ctypes.byref, halves),
        )
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
