"""The module by its C functions, with nothing in between: for programs that tests run.

The first argument of such a program is the module's path. A call that does not answer CKR_OK ends
the program; `call` gives the answer instead.
"""

import ctypes
import sys
from typing import Any

ULONG = ctypes.c_ulong
NOT_INITIALIZED = 0x190
CKA_ID, CKA_CLASS, PRIVATE = 0x102, 0x0, 3
CKM_ECDSA = 0x1041
SERIAL = 4


class Attribute(ctypes.Structure):
    _fields_ = [("type", ULONG), ("value", ctypes.c_void_p), ("length", ULONG)]


class Mechanism(ctypes.Structure):
    _fields_ = [("type", ULONG), ("parameter", ctypes.c_void_p), ("length", ULONG)]


class Module:
    def __init__(self, path: str = "") -> None:
        self.library = ctypes.CDLL(path or sys.argv[1])

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

    def find(self, session: ctypes.c_ulong, key_id: bytes) -> ctypes.c_ulong:
        kind, wanted = ULONG(PRIVATE), ctypes.create_string_buffer(key_id, len(key_id))
        template = (Attribute * 2)(
            Attribute(CKA_CLASS, ctypes.addressof(kind), ctypes.sizeof(kind)),
            Attribute(CKA_ID, ctypes.addressof(wanted), len(key_id)),
        )
        key, count = ULONG(), ULONG()
        self.FindObjectsInit(session, template, ULONG(2))
        self.FindObjects(session, ctypes.byref(key), ULONG(1), ctypes.byref(count))
        self.FindObjectsFinal(session)
        assert count.value == 1
        return key

    def sign(
        self, session: ctypes.c_ulong, key: ctypes.c_ulong, mechanism: int = CKM_ECDSA
    ) -> bytes:
        """Sign 32 zeros."""
        room, length = ctypes.create_string_buffer(8192), ULONG(8192)
        self.SignInit(session, ctypes.byref(Mechanism(mechanism, None, 0)), key)
        self.Sign(session, bytes(32), ULONG(32), room, ctypes.byref(length))
        return room.raw[: length.value]
