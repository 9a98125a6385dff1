"""Programs that people use, with the module: GnuTLS, OpenSSL's engine, OpenSSH."""

from pathlib import Path

import pytest

from tests.pkcs11.conftest import Token, need

ENGINES = Path("/usr/lib/x86_64-linux-gnu/engines-3")
OBJECT = "pkcs11:token=keystead;object=the%20{};type=private"


def engine(token: Token) -> dict[str, str]:
    """What OpenSSL's engine, libp11's, reads from the environment."""
    if not (ENGINES / "pkcs11.so").exists():
        pytest.skip("libengine-pkcs11-openssl is not installed")
    # libp11 0.4.12 finds no key at all where there is one of Ed25519.
    token.settings["key-types"] = '["RSA", "EC_P256"]'
    return {"PKCS11_MODULE_PATH": str(token.module)}


def test_gnutls_lists_the_keys_and_signs_with_each_type(token):
    need("p11tool")
    provider = f"--provider={token.module}"
    assert "EdDSA (Ed25519)" in token.run("p11tool", provider, "--list-all")
    for kind in ("EC_P256", "EC_P384", "RSA"):
        said = token.run("p11tool", provider, "--test-sign", OBJECT.format(kind))
        assert said.count("... ok\n") == 3, said


@pytest.mark.parametrize("key", ["Curve25519", "EC_P256", "RSA"])
def test_gnutls_makes_a_certificate_that_openssl_accepts(token, key):
    need("certtool")
    file, template = token.folder / "certificate.pem", token.folder / "template"
    template.write_text('cn = "gnutls"\nca\nexpiration_days = 9\n')
    public = OBJECT.format(key).replace("private", "public")
    keys = (f"--load-privkey={OBJECT.format(key)}", f"--load-pubkey={public}")
    command = ("--generate-self-signed", *keys, f"--template={template}", f"--outfile={file}")
    token.run("certtool", f"--provider={token.module}", *command)
    token.run("openssl", "verify", "-CAfile", file, file)


def test_gnutls_generates_ed25519_with_the_mechanism_that_signs(token):
    need("p11tool")
    options = ("--generate-privkey=ed25519", "--label=by gnutls", "--id=0a0b")
    token.run("p11tool", f"--provider={token.module}", *options, "pkcs11:token=keystead")
    made = token.server.request("GET", "/keys/0---0a0b", user="admin").json()
    assert (made["type"], made["label"]) == ("Curve25519", "by gnutls")


@pytest.mark.parametrize(
    ("key", "options"),
    [
        ("RSA", ()),
        ("RSA", ("-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32")),
        ("EC_P256", ()),
    ],
)
def test_openssl_makes_a_certificate_with_the_engine(token, key, options):
    environment = engine(token)
    file = token.folder / "certificate.pem"
    uri = OBJECT.format(key)
    command = ("req", "-x509", "-new", "-engine", "pkcs11", "-keyform", "engine", "-key", uri)
    subject = ("-sha256", "-subj", "/CN=engine", "-out", file)
    token.run("openssl", *command, *subject, *options, **environment)
    token.run("openssl", "verify", "-CAfile", file, file)


def test_openssl_decrypts_with_the_engine(token):
    environment = engine(token)
    secret, encrypted = token.folder / "secret", token.folder / "encrypted"
    secret.write_text("a secret\n")
    public = ("-pubin", "-inkey", token.public_key("RSA"))
    token.run("openssl", "pkeyutl", "-encrypt", *public, "-in", secret, "-out", encrypted)
    key = ("-engine", "pkcs11", "-keyform", "engine", "-inkey", OBJECT.format("RSA"))
    said = token.run("openssl", "pkeyutl", "-decrypt", *key, "-in", encrypted, **environment)
    assert said.endswith("a secret\n")


def test_openssh_finds_the_keys_and_signs_a_certificate_with_one(token):
    need("ssh-keygen")
    listed = token.run("ssh-keygen", "-D", token.module)
    authority, user = token.folder / "ca.pub", token.folder / "user"
    (line,) = [line for line in listed.splitlines() if line.startswith("ecdsa-sha2-nistp256")]
    authority.write_text(line + "\n")
    token.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", user)
    sign = ("-D", token.module, "-s", authority, "-I", "user", f"{user}.pub")
    token.run("ssh-keygen", *sign)
    shown = token.run("ssh-keygen", "-L", "-f", f"{user}-cert.pub")
    assert "Signing CA: ECDSA" in shown
