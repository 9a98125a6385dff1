"""The part of the image that is Python: the standard library, the wheels and Keystead."""

import base64
import hashlib
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import Distribution, PackageNotFoundError, PackagePath, distribution
from pathlib import Path, PurePosixPath
from typing import Final

import keystead
from keystead.appliance import content
from keystead.appliance.bytecode import compiled
from keystead.appliance.content import ImageFile
from keystead.appliance.debian import PYTHON, Package
from keystead.appliance.elf import is_elf, needed_libraries
from keystead.appliance.tools import run
from keystead.errors import InvalidInput

STANDARD_LIBRARY: Final = f"usr/lib/{PYTHON}/"
PACKAGES: Final = "usr/lib/python3/dist-packages/"

DISTRIBUTIONS: Final = (
    "btclib-libsecp256k1",
    "cffi",
    "cryptography",
    "mnemonic",
    "msgspec",
    "multipart",
    "pycryptodome",
    "uvloop",
    "zxcvbn",
)
"""What the server imports. The other packages of the lock are for the command line and clusters."""

_TPM: Final = "tpm2-pytss"
_FAPI: Final = "libtss2-fapi.so"
"""It would bring curl, LDAP and Kerberos into the image."""

_LEFT_OUT: Final = (
    # Consoles, shells, debuggers, terminals and installers.
    *("code", "codeop", "cmd", "pdb", "bdb", "pty", "tty", "rlcompleter", "curses", "readline"),
    *("_curses", "_curses_panel", "idlelib", "tkinter", "turtle", "turtledemo", "pydoc"),
    *("pydoc_data", "venv", "ensurepip", "zipapp", "lib2to3", "distutils", "test", "unittest"),
    *(
        "_pyrepl",
        "_xxtestfuzz",
        "_ctypes_test",
        "doctest",
        "trace",
        "profile",
        "cProfile",
        "pstats",
    ),
    # Network protocols other than ours, files of other kinds, and databases that are not used.
    *("ftplib", "telnetlib", "smtplib", "smtpd", "poplib", "imaplib", "nntplib", "xmlrpc", "cgi"),
    *("cgitb", "mailbox", "mailcap", "webbrowser", "antigravity", "this", "dbm", "_dbm"),
    *("_gdbm", "shelve", "audioop", "ossaudiodev", "wave", "aifc", "sunau", "sndhdr", "_lzma"),
    *("_bz2", "nis", "spwd", "_crypt", "crypt", "_uuid", "_tkinter", "xml", "plistlib"),
    *("tarfile", "configparser", "difflib", "optparse", "pickletools", "statistics"),
    # Other processes and interpreters, and encodings of several bytes other than Unicode's.
    *("multiprocessing", "_multiprocessing", "_posixshmem", "_xxsubinterpreters", "asyncore"),
    *("asynchat", "_multibytecodec", "_codecs_cn", "_codecs_hk", "_codecs_iso2022", "_codecs_jp"),
    *("_codecs_kr", "_codecs_tw"),
    # What the standard library takes where its C code is missing.
    *("_pydecimal", "_pyio"),
)
_OTHER_ENCODINGS: Final = re.compile(
    r"encodings/(big5|cp|euc|gb|hp_|hz|iso2022|iso8859|johab|koi8|kz|mac_|palmos|ptcp|shift|tis)"
)
_TESTS_OF_PYTHON: Final = "_test"
"""How the names of modules begin that only Python's own tests use."""
_AS_TEXT: Final = {"zxcvbn": ("zxcvbn/__init__.py", "zxcvbn/frequency_lists.py")}
"""Files that the server reads and never runs; nothing else of their package is in the image."""
_WITHOUT: Final = {
    "btclib-libsecp256k1": re.compile(r"btclib_libsecp256k1/"),  # What is used is one library.
    # What compiled interfaces to C need is one library. The rest reads C at run time. Only
    # pycryptodome uses that, and takes ctypes instead where it is missing.
    "cffi": re.compile(r"cffi/"),
    "pycryptodome": re.compile(r"Crypto/(Protocol/|Cipher/_raw_|PublicKey/_(ec|ed|curve))"),
    "mnemonic": re.compile(r"mnemonic/wordlist/(?!english)"),
}
"""Files of packages that nothing in the server uses."""
_BUILD_ID: Final = "--remove-section=.note.gnu.build-id"
"""A hash of the library with its debug information, in which the compiler's folder is."""
_NOT_SHIPPED: Final = (".pyx", ".pxd", ".pyi", ".c", ".h", ".md", ".rst", ".a")
_NOT_FOLDERS: Final = frozenset({"SelfTest", "tests", "test", "_test", "__pycache__", "bin"})


def standard_library(package: Package) -> Iterator[ImageFile]:
    """Yield the standard library of a Debian package, as bytecode, without what is left out."""
    for path, data in package.files.items():
        name = path.removeprefix(STANDARD_LIBRARY)
        if name == path or _is_left_out(PurePosixPath(name.removeprefix("lib-dynload/"))):
            continue
        yield from _shipped(path, data, package.origin, has_source=False)


def _is_left_out(name: PurePosixPath) -> bool:
    module = name.parts[0].split(".")[0]
    return (
        module in _LEFT_OUT
        or module.startswith(("config-", "EXTERNALLY-MANAGED", _TESTS_OF_PYTHON))
        or _OTHER_ENCODINGS.match(str(name)) is not None
        or not _NOT_FOLDERS.isdisjoint(name.parts)
    )


def wheels(names: Iterable[str] = DISTRIBUTIONS) -> Iterator[ImageFile]:
    """Yield the installed packages. Raises InvalidInput if a file is not as its wheel had it."""
    for name in names:
        found = distribution(name)
        origin = f"pkg:pypi/{name}@{found.version}"
        unused = _WITHOUT.get(name)
        for path in _modules(found):
            if unused is not None and unused.match(str(path)):
                continue
            data = _verified(path)
            if name not in _AS_TEXT:
                yield from _shipped(PACKAGES + str(path), lean(data), origin, has_source=False)
            elif str(path) in _AS_TEXT[name]:
                yield content.file(PACKAGES + str(path), data, origin)


def has_tpm() -> bool:
    """Return whether what reaches a TPM is installed, as `make tpm2` builds it."""
    try:
        paths = list(_modules(distribution(_TPM)))
    except PackageNotFoundError:
        return False
    libraries = [path.read_binary() for path in paths if path.suffix == ".so"]
    needed = [name for library in libraries for name in needed_libraries(library)]
    return not any(name.startswith(_FAPI) for name in needed)


def server_wheels() -> Iterator[ImageFile]:
    """Yield all packages that the server needs, with that for a TPM if it is there."""
    yield from wheels((*DISTRIBUTIONS, _TPM) if has_tpm() else DISTRIBUTIONS)


def _modules(found: Distribution) -> Iterator[PackagePath]:
    for path in found.files or ():
        is_metadata = path.parts[0].endswith(".dist-info") or ".." in path.parts
        is_wanted = path.suffix not in _NOT_SHIPPED and _NOT_FOLDERS.isdisjoint(path.parts)
        if is_wanted and not is_metadata:
            yield path


def _verified(path: PackagePath) -> bytes:
    data = path.read_binary()
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
    if path.hash is None or path.hash.value != digest:
        raise InvalidInput(f"The installed file {path} is not the one of its wheel.")
    return data


def lean(data: bytes) -> bytes:
    """Return a library without what only debuggers need, which is a third of it.

    What is left does not depend on the folder that it was compiled in. Other files stay as they
    are.
    """
    if not is_elf(data):
        return data
    with tempfile.NamedTemporaryFile() as library:
        library.write(data)
        library.flush()
        run("strip", "--strip-unneeded", _BUILD_ID, library.name)
        return Path(library.name).read_bytes()


def own_package(folder: Path = Path(keystead.__file__).parent) -> Iterator[ImageFile]:
    """Yield Keystead itself, with its source: attestations state a digest over the source."""
    origin = f"pkg:pypi/keystead@{keystead.__version__}"
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix != ".pyc":
            name = PACKAGES + path.relative_to(folder.parent).as_posix()
            yield from _shipped(name, path.read_bytes(), origin, has_source=True)


def _shipped(path: str, data: bytes, origin: str, *, has_source: bool) -> Sequence[ImageFile]:
    if not path.endswith(".py"):
        return [content.file(path, data, origin)]
    code = compiled(data, f"/{path}", keeps_docstrings=has_source)
    if not has_source:
        return [content.file(f"{path}c", code, origin)]
    where = PurePosixPath(path)
    tag = sys.implementation.cache_tag
    cached = where.parent / "__pycache__" / f"{where.stem}.{tag}.pyc"
    return [content.file(path, data, origin), content.file(str(cached), code, origin)]
