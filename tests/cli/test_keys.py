"""`keystead keys`: made, listed, changed, used."""

import base64
import hashlib
import json
import subprocess

import pytest

SIGNERS = {
    "p256": ["--type", "EC_P256"],
    "p384": ["--type", "EC_P384"],
    "p521": ["--type", "EC_P521"],
    "k256": ["--type", "EC_P256K1"],
    "brainpool": ["--type", "BrainpoolP512"],
    "edwards": ["--type", "Curve25519"],
    "edwards448": ["--type", "Ed448"],
    "lattice": ["--type", "ML_DSA_65"],
    "rsa": ["--type", "RSA", "--length", "2048"],
    "pss": ["--type", "RSA", "--length", "2048", "--mechanism", "RSA_Signature_PSS_SHA512"],
}


@pytest.fixture
def message(tmp_path):
    file = tmp_path / "message"
    file.write_bytes(b"hello" * 1000)
    return file


@pytest.mark.parametrize("name", SIGNERS)
def test_a_key_signs_a_file_and_its_public_half_verifies_it(keystead, message, tmp_path, name):
    assert keystead("keys", "generate", name, *SIGNERS[name]).status == 0
    signature, public = tmp_path / "signature", tmp_path / "public.pem"
    assert keystead("keys", "sign", name, message, "-o", signature, user="signer").status == 0
    assert keystead("keys", "verify", name, signature, message).out == "valid\n"
    assert (
        keystead("keys", "verify", name, signature, message, "--on-hsm", user="signer").status == 0
    )
    assert keystead("keys", "public", name, "-o", public).status == 0
    mode = ["--mode", "PSS_SHA512"] if name == "pss" else []
    alone = ("keys", "verify", name, signature, message, "--public", public, *mode)
    assert keystead(*alone).status == 0
    message.write_bytes(b"another")
    ran = keystead(*alone)
    assert ran.status == 1
    assert "NOT valid" in ran.err
    ran = keystead("keys", "verify", name, signature, message, "--on-hsm", user="signer")
    assert ran.status == 1


def test_what_is_signed_openssl_verifies(keystead, message, tmp_path):
    for name, options in (("for-openssl", SIGNERS["p384"]), ("rsa-for-openssl", SIGNERS["rsa"])):
        keystead("keys", "generate", name, *options)
        keystead("keys", "sign", name, message, "-o", tmp_path / "signature", user="signer")
        keystead("keys", "public", name, "-o", tmp_path / "public.pem")
        digest = "-sha384" if name == "for-openssl" else "-sha256"
        ran = subprocess.run(
            [
                "openssl",
                "dgst",
                digest,
                "-verify",
                "public.pem",
                "-signature",
                "signature",
                message,
            ],
            cwd=tmp_path,
            capture_output=True,
            check=False,
        )
        assert ran.stdout == b"Verified OK\n"


def test_a_ready_digest_is_signed_as_it_is(keystead, message, tmp_path):
    keystead("keys", "generate", "digests", "--type", "EC_P256")
    digest = tmp_path / "digest"
    digest.write_bytes(hashlib.sha256(message.read_bytes()).digest())
    ran = keystead("keys", "sign", "digests", digest, "--digest", user="signer")
    signature = tmp_path / "signature"
    signature.write_text(ran.out)
    assert keystead("keys", "verify", "digests", signature, message).status == 0


def test_an_ecdsa_signature_can_be_r_and_s(keystead, message, tmp_path):
    keystead("keys", "generate", "raw", "--type", "EC_P521")
    signature = tmp_path / "signature"
    sign = ("keys", "sign", "raw", message, "--format", "raw", "-o", signature)
    assert keystead(*sign, user="signer").status == 0
    assert signature.stat().st_size == 2 * 66
    verify = ("keys", "verify", "raw", signature, message, "--format")
    assert keystead(*verify, "raw").status == 0
    assert keystead(*verify, "der").status == 1


def test_several_files_are_signed_to_files_beside_them(keystead, tmp_path):
    keystead("keys", "generate", "several", "--type", "EC_P256")
    files = [tmp_path / f"message-{number}" for number in range(3)]
    for file in files:
        file.write_text(file.name)
    assert keystead("keys", "sign", "several", *files, user="signer").status == 0
    first, second, _ = (tmp_path / f"{file.name}.sig" for file in files)
    assert keystead("keys", "verify", "several", first, files[0]).status == 0
    assert keystead("keys", "verify", "several", second, files[1]).status == 0
    assert keystead("keys", "verify", "several", second, files[0]).status == 1
    assert keystead("keys", "sign", "several", *files, "-o", first, user="signer").status == 2


def test_a_symmetric_key_encrypts_decrypts_and_authenticates(keystead, message, tmp_path):
    mechanisms = ("AES_Encryption_GCM", "AES_Decryption_GCM", "HMAC_SHA256")
    options = [option for name in mechanisms for option in ("--mechanism", name)]
    key = tmp_path / "aes.key"
    key.write_bytes(bytes(range(32)))
    assert keystead("keys", "import", "aes", key, "--generic", *options).status == 0
    aad = tmp_path / "aad"
    aad.write_bytes(b"context")
    sealed, opened = tmp_path / "sealed.json", tmp_path / "opened"
    encrypt = ("keys", "encrypt", "aes", message, "--aad", aad, "-o", sealed)
    assert keystead(*encrypt, user="signer").status == 0
    assert json.loads(sealed.read_text())["mode"] == "AES_GCM"
    decrypt = ("keys", "decrypt", "aes", sealed, "-o", opened)
    assert keystead(*decrypt, user="signer").status == 1
    assert keystead(*decrypt, "--aad", aad, user="signer").status == 0
    assert opened.read_bytes() == message.read_bytes()
    tag = tmp_path / "tag"
    assert keystead("keys", "sign", "aes", message, "-o", tag, user="signer").status == 0
    assert keystead("keys", "verify", "aes", tag, message, "--on-hsm", user="signer").status == 0
    assert keystead("keys", "verify", "aes", tag, message).status == 2


def test_an_rsa_key_decrypts_what_its_public_half_encrypts(keystead, tmp_path):
    options = ["--length", "2048", "--mechanism", "RSA_Decryption_OAEP_SHA256"]
    keystead("keys", "generate", "opener", "--type", "RSA", *options)
    short, sealed, opened = (tmp_path / name for name in ("short", "sealed", "opened"))
    short.write_bytes(b"a symmetric key")
    assert keystead("keys", "encrypt", "opener", short, "-o", sealed).status == 0
    raw = tmp_path / "raw"
    raw.write_bytes(base64.b64decode(json.loads(sealed.read_text())["encrypted"]))
    for file in (sealed, raw):
        ran = keystead("keys", "decrypt", "opener", file, "-o", opened, user="signer")
        assert ran.status == 0, ran
        assert opened.read_bytes() == b"a symmetric key"


def test_many_keys_are_made_at_once(keystead):
    ran = keystead("keys", "generate", "many", "--type", "EC_P256", "--count", "30", "--json")
    assert ran.json() == [{"id": f"many-{number}"} for number in range(1, 31)]
    assert len(keystead("keys", "list", "many-", "--json").json()) == 30
    made_up = keystead("keys", "generate", "--type", "EC_P256", "--json").json()
    assert len(made_up) == 1


def test_a_key_is_labelled_tagged_moved_and_shown(keystead):
    keystead("keys", "generate", "web", "--type", "EC_P256", "--label", "first", "--tag", "tls")
    assert keystead("keys", "label", "web", "second").status == 0
    tagged = keystead("keys", "tag", "web", "more")
    assert tagged.status == 0
    assert "Only Operators with one of its tags may use it." in tagged.err
    assert keystead("keys", "untag", "web", "tls").status == 0
    assert keystead("keys", "move", "web", "web2").status == 0
    key = keystead("keys", "show", "web2", "--json").json()
    assert key["label"] == "second"
    assert key["restrictions"] == {"tags": ["more"]}
    assert [
        one["id"] for one in keystead("keys", "list", "--label", "second", "--json").json()
    ] == ["web2"]
    (row,) = keystead("keys", "list", "web2", "--long", "--json").json()
    assert row["tags"] == ["more"]
    assert keystead("keys", "list", "--label", "second", "--long", "--json").json() == [row]
    for wanted in (("--label-contains", "SECO"), ("--tag", "more"), ("--type", "EC_P256")):
        some = keystead("keys", "list", "web2", *wanted, "--long", "--json").json()
        assert some == [row]
    assert keystead("keys", "list", "web2", "--tag", "tls", "--json").json() == []
    usable = keystead("keys", "list", "web2", "--usable", "--json", user="signer").json()
    assert usable == []
    assert keystead("keys", "label", "web2").status == 0
    assert "label" not in keystead("keys", "show", "web2", "--json").json()


def test_a_table_is_lines_that_a_script_can_cut(keystead):
    keystead("keys", "generate", "table", "--type", "EC_P256", "--label", "a \033[31mred one")
    out = keystead("keys", "list", "table", "--long").out
    head, row = out.splitlines()
    assert head.split() == ["ID", "Type", "Mechanisms", "Uses", "Label", "Tags"]
    assert row.startswith("table  EC_P256  ECDSA_Signature  0")
    assert "\033" not in out


def test_a_certificate_is_kept_beside_a_key(keystead, tmp_path):
    keystead("keys", "generate", "certified", "--type", "EC_P256")
    request = keystead(
        "keys", "csr", "certified", "--common-name", "example.com",
        "--organization", "Example", "--alternative-name", "www.example.com", user="signer",
    )  # fmt: skip
    assert request.out.startswith("-----BEGIN CERTIFICATE REQUEST-----")
    file = tmp_path / "certificate.pem"
    file.write_text("-----BEGIN CERTIFICATE-----\nnot looked at\n-----END CERTIFICATE-----\n")
    assert keystead("keys", "cert", "set", "certified", file).status == 0
    assert keystead("keys", "cert", "get", "certified").out == file.read_text()
    assert keystead("keys", "cert", "remove", "certified").status == 0
    assert keystead("keys", "cert", "get", "certified").status == 6


def test_a_key_type_that_this_client_does_not_know_passes_through(keystead):
    ran = keystead("keys", "generate", "new", "--type", "New_Type", "--mechanism", "New_Mechanism")
    assert (ran.status, ran.out) == (1, "")
    assert "Unknown key" in ran.err
    ran = keystead("keys", "generate", "new", "--type", "New_Type")
    assert ran.status == 2
    assert "--mechanism" in ran.err


def test_two_keys_agree_on_a_secret_that_may_stay(keystead, tmp_path):
    for name in ("alice", "bob"):
        assert keystead("keys", "generate", name, "--type", "X25519").status == 0
        keystead("keys", "public", name, "-o", tmp_path / f"{name}.pem")
    hkdf = ("--hkdf", "SHA256", "--length", 32)
    derive = ("keys", "derive")
    here = keystead(*derive, "alice", "--peer", "bob.pem", *hkdf, user="signer")
    there = keystead(*derive, "bob", "--peer", "alice.pem", *hkdf, "--json", user="signer")
    assert here.status == 0, here
    assert here.out == there.json()["secret"] + "\n"
    info = tmp_path / "info"
    info.write_bytes(b"another purpose")
    other = keystead(*derive, "bob", "--peer", "alice.pem", *hkdf, "--info", info, user="signer")
    assert other.out not in ("", here.out)
    assert keystead(*derive, "alice", "--peer", info, user="signer").status == 2
    into = ("--into", "shared", "--mechanism", "HKDF_SHA256")
    ran = keystead(*derive, "alice", "--peer", "bob.pem", *hkdf, *into, user="signer")
    assert (ran.status, ran.out) == (0, "")
    again = keystead(*derive, "shared", "--length", 16, "-o", "derived", user="signer")
    assert again.status == 0, again
    assert (tmp_path / "derived").stat().st_size == 16
