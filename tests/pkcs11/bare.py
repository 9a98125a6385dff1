"""The module by its C functions, with nothing in between: for programs that tests run.

The first argument of such a program is the module's path. A call that does not answer CKR_OK ends
the program; `call` gives the answer instead.
"""

import ctypes
import sys
from typing import Any

ULONG = ctypes.c_ulong
NOT_INITIALIZED = 0x190
CKA_CLASS, CKA_TOKEN, CKA_VALUE, CKA_KEY_TYPE, CKA_ID = 0x0, 0x1, 0x11, 0x100, 0x102
CKA_SENSITIVE, CKA_EC_PARAMS, CKA_PARAMETER_SET = 0x103, 0x180, 0x61D
PUBLIC, PRIVATE, SECRET = 2, 3, 4
CKK_GENERIC_SECRET, CKK_AES = 0x10, 0x1F
CKM_ECDSA = 0x1041
SERIAL, READ_WRITE = 4, 6


class Attribute(ctypes.Structure):
    _fields_ = [("type", ULONG), ("value", ctypes.c_void_p), ("length", ULONG)]


class Mechanism(ctypes.Structure):
    _fields_ = [("type", ULONG), ("parameter", ctypes.c_void_p), ("length", ULONG)]


def _encoded(value: bytes | int) -> bytes:
    if isinstance(value, bytes):
        return value
    return bytes([value]) if isinstance(value, bool) else bytes(ULONG(value))


class Template:
    """Attributes, by their types: bytes, numbers, and true or false."""

    def __init__(self, values: dict[int, bytes | int]) -> None:
        encoded = map(_encoded, values.values())
        self._rooms = [ctypes.create_string_buffer(value, len(value)) for value in encoded]
        rows = zip(values, self._rooms, strict=True)
        self.array = (Attribute * len(values))(
            *(Attribute(kind, ctypes.addressof(room), len(room)) for kind, room in rows)
        )
        self.count = ULONG(len(values))


class Module:
    def __init__(self, library: ctypes.CDLL | None = None) -> None:
        """Take the library, if it is not to be loaded in the usual way."""
        self.library = library or ctypes.CDLL(sys.argv[1])

    def call(self, name: str, *arguments: Any) -> int:
        return getattr(self.library, name)(*arguments)

    def __getattr__(self, name: str) -> Any:
        def must(*arguments: Any) -> None:
            answer = self.call(f"C_{name}", *arguments)
            if answer:
                sys.exit(f"C_{name}: {answer:#x}")

        return must

    def open(self, flags: int = SERIAL) -> ctypes.c_ulong:
        session = ULONG()
        self.OpenSession(ULONG(0), ULONG(flags), None, None, ctypes.byref(session))
        return session

    def find(self, session: ctypes.c_ulong, key_id: bytes, kind: int = PRIVATE) -> ctypes.c_ulong:
        wanted = Template({CKA_CLASS: kind, CKA_ID: key_id})
        key, count = ULONG(), ULONG()
        self.FindObjectsInit(session, wanted.array, wanted.count)
        self.FindObjects(session, ctypes.byref(key), ULONG(1), ctypes.byref(count))
        self.FindObjectsFinal(session)
        assert count.value == 1
        return key

    def value(self, session: ctypes.c_ulong, key: ctypes.c_ulong, kind: int = CKA_VALUE) -> bytes:
        """Return an attribute of at most 4,096 bytes."""
        room = ctypes.create_string_buffer(4096)
        wanted = Attribute(kind, ctypes.addressof(room), len(room))
        self.GetAttributeValue(session, key, ctypes.byref(wanted), ULONG(1))
        return room.raw[: wanted.length]

    def generate_pair(
        self, session: ctypes.c_ulong, mechanism: int, kind: int | bytes, key_id: bytes
    ) -> tuple[ctypes.c_ulong, ctypes.c_ulong]:
        """Generate a key on the token; return the handles of its public and private halves.

        Its kind is the number of a parameter set, or a curve.
        """
        named = CKA_PARAMETER_SET if isinstance(kind, int) else CKA_EC_PARAMS
        public = Template({named: kind})
        private = Template({CKA_TOKEN: True, CKA_ID: key_id})
        halves = ULONG(), ULONG()
        self.GenerateKeyPair(
            session,
            ctypes.byref(Mechanism(mechanism, None, 0)),
            public.array,
            public.count,
            private.array,
            private.count,
            *map(ctypes.byref, halves),
        )
        return halves

    def sign(
        self, session: ctypes.c_ulong, key: ctypes.c_ulong, mechanism: int = CKM_ECDSA
    ) -> bytes:
        """Sign 32 zeros."""
        room, length = ctypes.create_string_buffer(8192), ULONG(8192)
        self.SignInit(session, ctypes.byref(Mechanism(mechanism, None, 0)), key)
        self.Sign(session, bytes(32), ULONG(32), room, ctypes.byref(length))
        return room.raw[: length.value]
