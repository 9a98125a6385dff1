"""What Keystead uses of PyCryptodome, loaded by ctypes.

PyCryptodome prefers cffi where that is installed, as it is beside cryptography. It then parses
declarations in C at each start, in Python: that takes 40 ms and 2 MiB. Its calls are as fast
either way. For ctypes, PyCryptodome asks whether libraries are files of Windows, for which Python
starts the program `file`; the answer is given here.
"""

import sys
from types import ModuleType
from typing import cast

_modules = cast("dict[str, ModuleType | None]", sys.modules)
_cffi = _modules.get("cffi")
_modules["cffi"] = None  # So an import of it raises ModuleNotFoundError.
try:
    from Crypto.Util import _raw_api

    _raw_api.cached_architecture[:] = "64bit", "ELF"
    from Crypto.Cipher import PKCS1_OAEP, PKCS1_v1_5
    from Crypto.Hash import MD5
    from Crypto.PublicKey import MLDSA, MLKEM, RSA
finally:
    if _cffi is None:
        del _modules["cffi"]
    else:
        _modules["cffi"] = _cffi

__all__ = ["MD5", "MLDSA", "MLKEM", "PKCS1_OAEP", "RSA", "PKCS1_v1_5"]
