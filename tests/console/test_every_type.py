"""Keys of every type: made in the console, used with a dropped file, checked by other code.

`make console-walk` has all types, `make test` those in SHORT.
"""

import hashlib
import hmac
from base64 import b64decode
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Locator, expect

from keystead import algorithms
from keystead.algorithms import SIGN
from tests.console.conftest import IS_WALK, Console, console_at
from tests.support.server import Server
from tests.support.verification import aes_cmac, signature_holds

FILE = b"signed"
"""The content that `signature_holds` knows."""
SECRET = bytes(range(32))
DERIVATION = "m/44'/60'/0'/0/0"
DIGEST_INFO = bytes.fromhex("3031300d060960864801650304020105000420")
HASHES = {"EC_P384": "sha384", "BrainpoolP384": "sha384"}
HASHES |= {"EC_P521": "sha512", "BrainpoolP512": "sha512"}
UNKNOWN_TO_BROWSERS = {"PSS_MD5", "PSS_SHA224"}
KINDS = [row.name for row in algorithms.ALL if any(one.use is SIGN for one in row.mechanisms)]
SHORT = {"RSA", "Generic", "BIP32"}
"""The types with something of their own: a length, several modes, no public half, a derivation."""


@pytest.fixture(scope="module")
def pair(browser: Browser, server: Server) -> Iterator[tuple[Console, Console]]:
    """The consoles of the users admin and operator."""
    windows = [console_at(browser, server) for _ in range(2)]
    consoles = [next(window) for window in windows]
    for console, user in zip(consoles, ("admin", "operator"), strict=True):
        console.expected_errors += ["403"]
        console.sign_in(user, server.passphrases[user])
        expect(console.page.locator("header .who")).to_contain_text(user)
    yield consoles[0], consoles[1]
    for window in windows:
        assert next(window, None) is None


@pytest.mark.parametrize("kind", [kind for kind in KINDS if IS_WALK or kind in SHORT])
def test_a_key_that_is_made_here_signs_a_dropped_file(
    pair: tuple[Console, Console], server: Server, kind: str
) -> None:
    admin, operator = pair
    make_key(admin, kind)
    operator.open(f"key/of-{kind}")
    shown = shown_key(server, kind)
    modes = form_of(operator, "Sign a file").locator("option").all_inner_texts()
    assert set(modes) == sign_modes(kind)
    for mode in sorted(set(modes) - UNKNOWN_TO_BROWSERS):
        signature = sign(operator, kind, mode)
        assert holds(shown, mode, signature), mode
        assert verify(operator, kind, mode, FILE, signature) == "valid", mode
        assert verify(operator, kind, mode, b"another file", signature) == "NOT valid", mode


def sign_modes(kind: str) -> set[str]:
    """Return the modes that the page should offer; it makes no mu of ML-DSA."""
    mechanisms = algorithms.BY_NAME[kind].mechanisms
    return {one.mode for one in mechanisms if one.use is SIGN} - {"ML_DSA_MU"}


def make_key(admin: Console, kind: str) -> None:
    """Make a key with all its sign mechanisms. A Generic key is imported: the API shows none."""
    is_known = kind == "Generic"
    label = "Import a key" if is_known else "Generate a key"
    admin.open("")
    admin.open("new-key")
    form = form_of(admin, label)
    form.locator("[name=type]").select_option(kind)
    for box in form.locator("[name=mechanisms]").all():
        box.set_checked(box.get_attribute("value") in sign_mechanisms(kind))
    admin.fill(label, id=f"of-{kind}")
    if kind == "RSA":
        admin.fill(label, length="2048")
    if is_known:
        assert admin.drop(f"form[aria-label='{label}'] button[type=submit]", SECRET)
    admin.press(label, "Import" if is_known else "Generate")
    admin.heading(f"Key of-{kind}")


def sign_mechanisms(kind: str) -> set[str]:
    return {one.name for one in algorithms.BY_NAME[kind].mechanisms if one.use is SIGN}


def shown_key(server: Server, kind: str) -> dict:
    derived = f"?derivation={quote(DERIVATION, safe='')}" if kind == "BIP32" else ""
    return server.request("GET", f"/keys/of-{kind}{derived}", user="operator").json()


def form_of(console: Console, label: str) -> Locator:
    return console.page.get_by_role("form", name=label, exact=True)


def sign(operator: Console, kind: str, mode: str) -> bytes:
    form = form_of(operator, "Sign a file")
    fill_use(form, kind, mode)
    assert operator.drop("form[aria-label='Sign a file'] button[type=submit]", FILE)
    operator.press("Sign a file", "Sign")
    expect(form.get_by_role("button", name="Save the signature")).to_be_visible()
    expect(form.locator("button[type=submit]")).to_be_enabled()
    return b64decode(form.locator("pre").inner_text())


def verify(operator: Console, kind: str, mode: str, content: bytes, signature: bytes) -> str:
    form = form_of(operator, "Verify a file")
    fill_use(form, kind, mode)
    for name, dropped in (("file", content), ("signature", signature)):
        target = f"form[aria-label='Verify a file'] [name={name}]"
        assert operator.drop(target, dropped)
    operator.press("Verify a file", "Verify")
    said = form.locator(".notice")
    expect(said).to_contain_text("valid")
    expect(form.locator("button[type=submit]")).to_be_enabled()
    return "NOT valid" if "NOT valid" in said.inner_text() else "valid"


def fill_use(form: Locator, kind: str, mode: str) -> None:
    form.locator("[name=mode]").select_option(mode)
    if kind == "BIP32":
        form.locator("[name=derivation]").fill(DERIVATION)


def holds(shown: dict, mode: str, signature: bytes) -> bool:
    """Whether another implementation finds the signature to be one of the file."""
    if mode.startswith("HMAC_"):
        name = mode.removeprefix("HMAC_").lower()
        return hmac.digest(SECRET, FILE, name) == signature
    if mode == "AES_CMAC":
        return aes_cmac(SECRET, FILE) == signature
    return signature_holds(shown, mode, signed_bytes(shown["type"], mode), signature)


def signed_bytes(kind: str, mode: str) -> bytes:
    """Return what the page makes of the file in this mode, as docs/console.md says."""
    if mode == "PKCS1":
        return DIGEST_INFO + hashlib.sha256(FILE).digest()
    if mode in {"ECDSA", "BIP340"}:
        return hashlib.new(HASHES.get(kind, "sha256"), FILE).digest()
    return FILE
