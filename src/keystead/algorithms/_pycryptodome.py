"""What Keystead uses of PyCryptodome, loaded by ctypes, without what would take memory for nothing.

PyCryptodome prefers cffi where that is installed, as it is beside cryptography. It then parses
declarations in C at each start, in Python: that takes 40 ms and 2 MiB. Its calls are as fast
either way. With ctypes it can look for libraries of the machine, for which Python loads modules for
programs and temporary files: 0.4 MiB. All of PyCryptodome's libraries are its own. It asks whether
they are files of Windows, for which Python starts the program `file`; the answer is given here.
"""

from keystead.imports import hollow, without

with without("cffi"), hollow("ctypes.util"):
    from Crypto.Util import _raw_api

    if hasattr(_raw_api, "cached_architecture"):  # Else something has loaded it before, with cffi.
        _raw_api.cached_architecture[:] = "64bit", "ELF"
    from Crypto.Cipher import PKCS1_OAEP, PKCS1_v1_5
    from Crypto.Hash import MD5
    from Crypto.PublicKey import MLDSA, MLKEM, RSA

__all__ = ["MD5", "MLDSA", "MLKEM", "PKCS1_OAEP", "RSA", "PKCS1_v1_5"]
