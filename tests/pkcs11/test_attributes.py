"""What the objects of each type of key say of themselves, and that a search honours all of it."""

import json
import ssl

import pytest

from tests.pkcs11.conftest import KEYS, Token, add_keys
from tests.pkcs11.test_processes import run

MORE_KEYS = {
    "EC_P256K1": ["ECDSA_Signature"],
    "BrainpoolP384": ["ECDSA_Signature", "ECDH_Derivation"],
    "Ed448": ["EdDSA_Signature"],
    "X25519": ["ECDH_Derivation"],
    "ML_DSA_65": ["ML_DSA_Signature"],
    "ML_KEM_768": ["ML_KEM_Decapsulation"],
}
PAIRS = sorted({*KEYS, *MORE_KEYS} - {"Generic"})

BEGINNING = """
import json
from tests.pkcs11.bare import *
module = Module()
module.Initialize(None)
session = module.open(READ_WRITE)

def ask(key, kinds):
    "Return the answer of one call for several attributes, and the length and value of each."
    rooms = [ctypes.create_string_buffer(4096) for _ in kinds]
    rows = (Attribute * len(kinds))(*(
        Attribute(kind, ctypes.addressof(room), len(room))
        for kind, room in zip(kinds, rooms, strict=True)
    ))
    answer = module.call("C_GetAttributeValue", session, key, rows, ULONG(len(kinds)))
    return answer, [
        (row.length, room.raw[:row.length] if row.length <= 4096 else None)
        for row, room in zip(rows, rooms, strict=True)
    ]

def found(wanted):
    template = Template(wanted)
    handles, count = (ULONG * 9)(), ULONG()
    module.FindObjectsInit(session, template.array, template.count)
    module.FindObjects(session, handles, ULONG(9), ctypes.byref(count))
    module.FindObjectsFinal(session)
    return [ask(handles[number], [CKA_CLASS])[1][0][1] for number in range(count.value)]
"""
EVERY_ATTRIBUTE = """
EVERY = [*range(0x220), *range(0x600, 0x640), 0x40000600]
UNAVAILABLE = 2**64 - 1

def known(key):
    "Return each attribute that the object has, asked for alone."
    values = {}
    for kind in EVERY:
        answer, [(length, value)] = ask(key, [kind])
        assert answer in (0, 0x11, 0x12), (kind, answer)
        assert (answer == 0) == (length != UNAVAILABLE), kind
        if answer == 0:
            values[kind] = value
    return values
"""

TOKEN, IS_PRIVATE, MODIFIABLE, COPYABLE, DESTROYABLE = 0x1, 0x2, 0x170, 0x171, 0x172
SENSITIVE, ENCRYPT, DECRYPT, WRAP, UNWRAP = 0x103, 0x104, 0x105, 0x106, 0x107
SIGN, SIGN_RECOVER, VERIFY, VERIFY_RECOVER, DERIVE = 0x108, 0x109, 0x10A, 0x10B, 0x10C
EXTRACTABLE, LOCAL, NEVER_EXTRACTABLE, ALWAYS_SENSITIVE = 0x162, 0x163, 0x164, 0x165
ALWAYS_AUTHENTICATE, WRAP_WITH_TRUSTED, TRUSTED = 0x202, 0x210, 0x86
ENCAPSULATE, DECAPSULATE = 0x633, 0x634
OF_ALL = {TOKEN: True, MODIFIABLE: True, COPYABLE: True, DESTROYABLE: True, LOCAL: True}
STAYS_INSIDE = {
    SENSITIVE: True,
    ALWAYS_SENSITIVE: True,
    EXTRACTABLE: False,
    NEVER_EXTRACTABLE: True,
    WRAP_WITH_TRUSTED: False,
}
SIGNERS = {*PAIRS} - {"X25519", "ML_KEM_768"}
DERIVERS = {"EC_P256", "BrainpoolP384", "X25519"}


def of_private(kind: str) -> dict[int, bool]:
    return {
        **OF_ALL,
        **STAYS_INSIDE,
        IS_PRIVATE: True,
        SIGN: kind in SIGNERS,
        SIGN_RECOVER: False,
        DECRYPT: kind == "RSA",
        UNWRAP: kind == "RSA",
        DERIVE: kind in DERIVERS,
        DECAPSULATE: kind == "ML_KEM_768",
        ALWAYS_AUTHENTICATE: False,
    }


def of_public(kind: str) -> dict[int, bool]:
    return {
        **OF_ALL,
        IS_PRIVATE: False,
        VERIFY: kind in SIGNERS,
        VERIFY_RECOVER: False,
        ENCRYPT: kind == "RSA",
        WRAP: kind == "RSA",
        DERIVE: False,
        ENCAPSULATE: kind == "ML_KEM_768",
        TRUSTED: False,
    }


OF_SECRET = {
    **OF_ALL,
    **STAYS_INSIDE,
    IS_PRIVATE: True,
    ENCRYPT: True,
    DECRYPT: True,
    SIGN: True,
    VERIFY: True,
    WRAP: False,
    UNWRAP: False,
    DERIVE: False,
    TRUSTED: False,
}

ECDSA = [0x1041, 0x1042, 0x1043, 0x1044, 0x1045, 0x1046]
MECHANISMS = {
    "EC_P256": [*ECDSA, 0x1050],
    "EC_P384": ECDSA,
    "EC_P521": ECDSA,
    "EC_P256K1": ECDSA,
    "BrainpoolP384": [*ECDSA, 0x1050],
    "Curve25519": [0x1057],
    "Ed448": [0x1057],
    "X25519": [0x1050],
    "RSA": [0x1, 0x6, 0x9, 0xD, 0x40, 0x41, 0x42, 0x43, 0x46],
    "ML_DSA_65": [0x1D],
    "ML_KEM_768": [0x17],
    "Generic": [0x1082, 0x1085, 0x108A],
}
"""CKM_ECDSA and its forms with a hash, CKM_ECDH1_DERIVE, CKM_EDDSA; for RSA: CKM_RSA_PKCS, its
forms with a hash, CKM_RSA_PKCS_OAEP, CKM_RSA_PKCS_PSS and the one form that the key has."""


@pytest.fixture
def full_token(token: Token) -> Token:
    add_keys(token.server, MORE_KEYS)
    return token


def mechanisms_of(value: str) -> list[int]:
    octets = bytes.fromhex(value)
    return [int.from_bytes(octets[at : at + 8], "little") for at in range(0, len(octets), 8)]


def test_every_object_has_its_booleans_and_its_mechanisms(full_token: Token) -> None:
    said = run(
        full_token,
        f"""
        shown = {{}}
        classes = [(kind, each) for kind in {PAIRS} for each in (PUBLIC, PRIVATE)]
        for kind, each in [*classes, ("Generic", SECRET)]:
            values = known(module.find(session, kind.encode(), each))
            shown[f"{{kind}} {{each}}"] = {{kind: values[kind].hex() for kind in values}}
        print(json.dumps(shown))
        """,
        beginning=BEGINNING + EVERY_ATTRIBUTE,
    )
    shown = json.loads(said)
    expected = {f"{kind} 2": of_public(kind) for kind in PAIRS}
    expected |= {f"{kind} 3": of_private(kind) for kind in PAIRS} | {"Generic 4": OF_SECRET}
    assert set(shown) == set(expected)
    for name, flags in expected.items():
        values = shown[name]
        wrong = {hex(kind) for kind in flags if values.get(str(kind)) != f"{flags[kind]:02x}"}
        assert not wrong, name
        assert mechanisms_of(values[str(0x40000600)]) == MECHANISMS[name.split()[0]], name


def test_a_search_honours_every_attribute_that_an_object_has(full_token: Token) -> None:
    """It finds the object by its value, and not by another value, a longer one or none."""
    run(
        full_token,
        f"""
        classes = [(kind, each) for kind in {PAIRS} for each in (PUBLIC, PRIVATE)]
        for name, each in [*classes, ("Generic", SECRET)]:
            one = {{CKA_ID: name.encode(), CKA_CLASS: each}}
            values = known(module.find(session, name.encode(), each))
            assert len(values) > 20
            for kind, value in values.items():
                assert found(one | {{kind: value}}) == [values[CKA_CLASS]], (name, kind)
                if kind in one:
                    continue
                others = [value + b"x"]
                if value:
                    others += [value[:-1] + bytes([value[-1] ^ 1]), value[:-1]]
                for other in others:
                    if kind == CKA_TOKEN and len(other) != 1:
                        continue
                    assert found(one | {{kind: other}}) == [], (name, kind, other)
            for kind in set(EVERY) - set(values):
                assert found(one | {{kind: b"x"}}) == [], (name, kind)
        """,
        beginning=BEGINNING + EVERY_ATTRIBUTE,
    )


def test_what_is_missing_or_secret_is_told_as_such_and_the_rest_is_given(token: Token) -> None:
    """OpenSSL's provider asks for several attributes at once and checks the answer."""
    run(
        token,
        """
        MISSING, SECRET_VALUE, UNAVAILABLE = 0x12, 0x11, 2**64 - 1
        EC_PARAMS, MODULUS, D = 0x180, 0x120, 0x123
        key = module.find(session, b"EC_P256")
        answer, [identity, none, parameters] = ask(key, [CKA_ID, MODULUS, EC_PARAMS])
        assert (answer, identity, none[0]) == (MISSING, (7, b"EC_P256"), UNAVAILABLE)
        assert parameters[1] == bytes.fromhex("06082a8648ce3d030107")
        answer, [value, identity] = ask(key, [CKA_VALUE, CKA_ID])
        assert (answer, value[0], identity) == (SECRET_VALUE, UNAVAILABLE, (7, b"EC_P256"))
        key = module.find(session, b"RSA")
        answer, [exponent, curve, modulus] = ask(key, [D, EC_PARAMS, MODULUS])
        assert (answer, exponent[0], curve[0]) == (SECRET_VALUE, UNAVAILABLE, UNAVAILABLE)
        assert modulus[0] == 256
        """,
        beginning=BEGINNING,
    )


def test_a_length_is_told_without_room_and_a_short_room_is_refused(token: Token) -> None:
    run(
        token,
        """
        key = module.find(session, b"RSA")
        row = Attribute(0x120, None, 0)
        module.GetAttributeValue(session, key, ctypes.byref(row), ULONG(1))
        assert row.length == 256
        room = ctypes.create_string_buffer(b"x" * 255, 255)
        row = Attribute(0x120, ctypes.addressof(room), 255)
        arguments = (session, key, ctypes.byref(row), ULONG(1))
        assert module.call("C_GetAttributeValue", *arguments) == 0x150
        assert row.length == 2**64 - 1
        assert room.raw == b"x" * 255
        """,
        beginning=BEGINNING,
    )


def test_the_length_of_a_secret_is_in_bytes(token: Token) -> None:
    run(
        token,
        """
        VALUE_LEN, AES_KEY_GEN, GENERIC_KEY_GEN = 0x161, 0x1080, 0x350
        made = ULONG()
        here = Template({CKA_CLASS: SECRET, CKA_KEY_TYPE: CKK_GENERIC_SECRET, CKA_TOKEN: False,
                         CKA_VALUE: bytes(16), CKA_SENSITIVE: False})
        module.CreateObject(session, here.array, here.count, ctypes.byref(made))
        assert module.value(session, made, VALUE_LEN) == bytes(ULONG(16))
        assert module.value(session, made) == bytes(16)

        def generate(mechanism, key_id, length):
            wanted = Template({CKA_TOKEN: True, CKA_ID: key_id, VALUE_LEN: length})
            how = ctypes.byref(Mechanism(mechanism, None, 0))
            return module.call(
                "C_GenerateKey", session, how, wanted.array, wanted.count, ctypes.byref(made)
            )

        assert generate(AES_KEY_GEN, b"aes-32", 32) == 0
        # A key of 32 bits would be none of AES.
        how = ctypes.byref(Mechanism(0x1082, ctypes.cast(bytes(16), ctypes.c_void_p), 16))
        module.EncryptInit(session, how, made)
        room, length = ctypes.create_string_buffer(64), ULONG(64)
        module.Encrypt(session, bytes(32), ULONG(32), room, ctypes.byref(length))
        assert length.value == 32
        for wrong in (0, 8, 31, 128, 256, 2**64 - 1):
            assert generate(AES_KEY_GEN, b"aes-wrong", wrong) == 0x13, wrong
        assert generate(GENERIC_KEY_GEN, b"generic-wrong", 2**64 - 1) == 0x13
        brought = Template({CKA_CLASS: SECRET, CKA_KEY_TYPE: CKK_AES, CKA_TOKEN: True,
                            CKA_ID: b"aes-wrong", CKA_VALUE: bytes(17)})
        assert module.call(
            "C_CreateObject", session, brought.array, brought.count, ctypes.byref(made)
        ) == 0x13
        """,
        beginning=BEGINNING,
    )
    listed = token.server.request("GET", "/keys", user="admin").json()
    assert {key["id"] for key in listed} == {*KEYS, "aes-32"}


def test_a_search_for_everything_asks_only_for_certificates_that_are_there(token: Token) -> None:
    """With ten thousand keys, a request for each would take half a minute."""
    server = token.server
    server.add_user("certificate-metrics", "Metrics")

    def responses() -> int:
        metrics = server.request("GET", "/metrics", user="certificate-metrics").json()
        return int(metrics["http response total"])

    for _ in range(10):
        wanted = {"type": "EC_P256", "mechanisms": ["ECDSA_Signature"]}
        assert server.request("POST", "/keys/generate", user="admin", json=wanted).status == 201
    headers = {"Content-Type": "application/octet-stream"}
    path = "/keys/EC_P256/cert"
    # Any certificate: that of the server's TLS.
    pem = server.request("GET", "/config/tls/cert.pem", user="admin").body.decode()
    body = ssl.PEM_cert_to_DER_cert(pem)
    answer = server.request("PUT", path, user="admin", body=body, headers=headers)
    assert answer.status == 201
    program = """
    template = Template({})
    handles, count = (ULONG * 99)(), ULONG()
    module.FindObjectsInit(session, template.array, template.count)
    module.FindObjects(session, handles, ULONG(99), ctypes.byref(count))
    classes = [ask(handles[at], [CKA_CLASS])[1][0][1][0] for at in range(count.value)]
    print(classes.count(1), classes.count(PRIVATE), classes.count(PUBLIC), classes.count(SECRET))
    """
    before = responses()
    assert run(token, program, beginning=BEGINNING).split() == ["1", "15", "15", "1"]
    # The PIN is checked, two pages are read, the second without keys, and a certificate.
    assert responses() - before <= 5
    assert server.request("DELETE", path, user="admin").status == 204
    assert run(token, program, beginning=BEGINNING).split() == ["0", "15", "15", "1"]


@pytest.mark.parametrize("curve", [b"\x06\x03\x2b\x65\x70", b"\x13\x0cedwards25519"])
@pytest.mark.parametrize("generator", [0x1055, 0x1057])
def test_ed25519_is_generated_by_both_mechanisms_and_signs_64_bytes(
    token: Token, generator: int, curve: bytes
) -> None:
    """GnuTLS, and so Knot, generates with CKM_EDDSA in place of CKM_EC_EDWARDS_KEY_PAIR_GEN."""
    run(
        token,
        f"""
        public, private = module.generate_pair(session, {generator}, {curve!r}, b"ed25519")
        assert module.value(session, public, CKA_EC_PARAMS) == bytes.fromhex("06032b6570")
        assert len(module.sign(session, private, 0x1057)) == 64
        how = ctypes.byref(Mechanism(0x1057, None, 0))
        length = ULONG()
        module.SignInit(session, how, private)
        module.Sign(session, bytes(32), ULONG(32), None, ctypes.byref(length))
        assert length.value == 64
        """,
        beginning=BEGINNING,
    )
    made = token.server.request("GET", "/keys/ed25519", user="admin").json()
    assert made["type"] == "Curve25519"


def test_a_program_gives_a_key_another_label_and_another_id(token: Token) -> None:
    run(
        token,
        """
        CKA_LABEL, CKA_SIGN, READ_ONLY_ATTRIBUTE, READ_ONLY_SESSION = 0x3, 0x108, 0x10, 0xB5
        curve = bytes.fromhex("06082a8648ce3d030107")
        public, private = module.generate_pair(session, 0x1040, curve, b"before")

        def changed(values, on=session):
            wanted = Template(values)
            return module.call(
                "C_SetAttributeValue", on, private, wanted.array, wanted.count
            )

        assert changed({CKA_LABEL: b"a label"}, module.open()) == READ_ONLY_SESSION
        assert changed({CKA_LABEL: b"a label"}) == 0
        assert changed({CKA_ID: b"after", CKA_SIGN: True}) == 0
        assert changed({CKA_ID: b"other", CKA_SIGN: False}) == READ_ONLY_ATTRIBUTE
        assert changed({CKA_ID: b"EC_P384"}) == 0x7, "the ID of another key"
        for half in (public, private):
            assert module.value(session, half, CKA_ID) == b"after"
            assert module.value(session, half, CKA_LABEL) == b"a label"
        assert module.find(session, b"after").value == private.value
        module.sign(session, private)
        """,
        beginning=BEGINNING,
    )
    assert token.server.request("GET", "/keys/before", user="admin").status == 404
    after = token.server.request("GET", "/keys/after", user="admin").json()
    assert after["label"] == "a label"


def test_a_certificate_is_found_by_every_attribute_that_it_has(token: Token) -> None:
    pem = token.server.request("GET", "/config/tls/cert.pem", user="admin").body.decode()
    run(
        token,
        f"""
        CERTIFICATE = 1
        brought, made = Template({{
            CKA_CLASS: CERTIFICATE, CKA_TOKEN: True, CKA_ID: b"EC_P384",
            CKA_VALUE: {ssl.PEM_cert_to_DER_cert(pem)!r},
        }}), ULONG()
        module.CreateObject(session, brought.array, brought.count, ctypes.byref(made))
        values = known(made)
        # Its serial number, who made it, who has it and a part of its hash are among them.
        assert {{0x82, 0x81, 0x101, 0x90}} < set(values)
        for kind, value in values.items():
            one = {{CKA_CLASS: CERTIFICATE, CKA_ID: b"EC_P384"}}
            assert len(found(one | {{kind: value}})) == 1, kind
            if kind not in one and value:
                assert found(one | {{kind: value[:-1] + bytes([value[-1] ^ 1])}}) == [], kind
        module.DestroyObject(session, made)
        """,
        beginning=BEGINNING + EVERY_ATTRIBUTE,
    )
