"""Files that are dropped on the page: private keys of each format, and certificates."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    pkcs12,
)
from playwright.sync_api import expect

from tests.console.conftest import Console
from tests.support.server import Server

IMPORT = "Import a key"
CURVE_KEY = ec.generate_private_key(ec.SECP256R1())
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PROTECTED = BestAvailableEncryption(b"passphrase")
CERTIFICATE = "form[aria-label='Store a certificate']"


def written(
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey,
    encoding: Encoding,
    form: PrivateFormat = PrivateFormat.PKCS8,
    protection: KeySerializationEncryption | None = None,
) -> bytes:
    return key.private_bytes(encoding, form, protection or NoEncryption())


def drop_key(console: Console, key_id: str, content: bytes) -> None:
    console.fill(IMPORT, id=key_id)
    assert console.drop(f"form[aria-label='{IMPORT}'] button[type=submit]", content)
    console.press(IMPORT, "Import")


def test_a_private_key_is_imported_by_dropping_its_file(signed_in: Console, server: Server) -> None:
    traditional = PrivateFormat.TraditionalOpenSSL
    files = {
        "pem": (CURVE_KEY, written(CURVE_KEY, Encoding.PEM)),
        "der": (CURVE_KEY, written(CURVE_KEY, Encoding.DER)),
        "sec1": (CURVE_KEY, written(CURVE_KEY, Encoding.DER, traditional)),
        "pkcs1": (RSA_KEY, written(RSA_KEY, Encoding.DER, traditional)),
    }
    for key_id, (key, content) in files.items():
        signed_in.open("new-key")
        if key is RSA_KEY:
            form = signed_in.page.get_by_role("form", name=IMPORT, exact=True)
            form.locator("[name=type]").select_option("RSA")
        drop_key(signed_in, key_id, content)
        signed_in.heading(f"Key {key_id}")
        shown = server.request("GET", f"/keys/{key_id}/public.pem", user="admin").body
        public = key.public_key()
        assert shown == public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def test_a_file_that_cannot_be_imported_is_refused_with_the_way_to_do_it(
    signed_in: Console, server: Server
) -> None:
    advice = "Import it by the command, which asks for its passphrase: keystead keys import."
    public = CURVE_KEY.public_key()
    files = {
        f"This file is encrypted. {advice}": [
            written(CURVE_KEY, Encoding.PEM, protection=PROTECTED),
            written(CURVE_KEY, Encoding.DER, protection=PROTECTED),
        ],
        f"This is PKCS #12. {advice}": [
            pkcs12.serialize_key_and_certificates(b"x", CURVE_KEY, None, None, PROTECTED)
        ],
        "There is no private key in this file.": [
            certificate(days=1).public_bytes(Encoding.DER),
            public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
            b"\x30\x00",
        ],
        "This is neither PEM nor DER.": [b"\xff", b""],
        "This DER is cut off.": [written(CURVE_KEY, Encoding.DER)[:-1]],
    }
    signed_in.open("new-key")
    form = signed_in.page.get_by_role("form", name=IMPORT, exact=True)
    for said, contents in files.items():
        for content in contents:
            drop_key(signed_in, "refused", content)
            expect(form.get_by_role("alert")).to_have_text(said)
    assert server.request("GET", "/keys/refused", user="admin").status == 404


def certificate(days: int) -> x509.Certificate:
    """Return a certificate that ends so many days from now."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "dropped")])
    ends = datetime.now(UTC) + timedelta(days=days)
    builder = x509.CertificateBuilder(name, name, CURVE_KEY.public_key(), 1)
    builder = builder.not_valid_before(datetime(2001, 1, 1, tzinfo=UTC)).not_valid_after(ends)
    return builder.sign(CURVE_KEY, hashes.SHA256())


def test_the_expiry_of_a_certificate_is_said_in_words(signed_in: Console, server: Server) -> None:
    signed_in.expected_errors += ["404"]  # The key has no certificate at first.
    wanted = {"id": "certified", "type": "EC_P256", "mechanisms": ["ECDSA_Signature"]}
    assert server.request("POST", "/keys/generate", user="admin", json=wanted).status == 201
    for days, encoding, said in (
        (30, Encoding.PEM, "It expires in 30 days."),
        (365, Encoding.DER, "It expires in 12 months."),
        (3653, Encoding.PEM, "It expires in 10 years."),
        (-20, Encoding.DER, "It has expired 20 days ago."),
    ):
        signed_in.open("")
        signed_in.open("key/certified")
        signed_in.unfold("Certificate")
        content = certificate(days).public_bytes(encoding)
        signed_in.page.locator(CERTIFICATE).wait_for()
        assert signed_in.drop(f"{CERTIFICATE} button[type=submit]", content)
        signed_in.press("Store a certificate", "Store")
        signed_in.says(said)
        assert server.request("GET", "/keys/certified/cert", user="admin").body == content
        assert server.request("DELETE", "/keys/certified/cert", user="admin").status == 204


@pytest.mark.parametrize("key_type", ["Generic", "BIP32"])
def test_raw_bytes_are_imported_by_dropping_their_file(
    signed_in: Console, server: Server, key_type: str
) -> None:
    signed_in.open("new-key")
    form = signed_in.page.get_by_role("form", name=IMPORT, exact=True)
    form.locator("[name=type]").select_option(key_type)
    drop_key(signed_in, f"raw-{key_type}", bytes(range(32)))
    signed_in.heading(f"Key raw-{key_type}")
    shown = server.request("GET", f"/keys/raw-{key_type}", user="admin").json()
    assert shown["type"] == key_type
