"""`keystead image` as who makes releases uses it."""

import getpass
import json
import os
import tracemalloc
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from keystead.__main__ import main
from keystead.appliance import update_file
from keystead.platform.image_policy import ImagePolicy, pcr_policy, policy_reference
from keystead.platform.pcrs import PcrSelection
from keystead.sealing.update_image import MAX_CHUNK_BYTES
from tests.support.update_images import key_pair


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with keys, notes and something to sign."""
    monkeypatch.chdir(tmp_path)
    private, public = key_pair(0)
    Path("private.pem").write_bytes(private)
    Path("public.pem").write_bytes(public)
    Path("other.pem").write_bytes(key_pair(1)[1])
    Path("notes").write_text("Größer.\n\x1b[2J")
    Path("content").write_bytes(os.urandom(MAX_CHUNK_BYTES + 5))
    return tmp_path


def sign(*more: str, version: str = "1.2.3", image: str = "content", key: str = "private.pem"):
    options = ["--key", key, "--version", version, "--security-version", "7", "--notes", "notes"]
    return main(["image", "sign", *options, *more, image, "out"])


def test_a_signed_image_is_shown_as_what_it_is(directory, capsys):
    assert sign() == 0
    capsys.readouterr()
    assert main(["image", "inspect", "out", "--key", "public.pem"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "product: keystead",
        "version: 1.2.3",
        "security version: 7",
        f"size: {MAX_CHUNK_BYTES + 5} bytes in 2 chunks",
        r"release notes: 'Gr\xf6\xdfer.\n\x1b[2J'",
        "signature: good",
    ]
    assert main(["image", "inspect", "out"]) == 0
    assert "signature: NOT VERIFIED" in capsys.readouterr().out
    names = {"private.pem", "public.pem", "other.pem", "notes", "content", "out"}
    assert {entry.name for entry in directory.iterdir()} == names


def test_a_damaged_or_foreign_image_is_shown_as_nothing(directory, capsys):
    sign()
    capsys.readouterr()
    image = bytearray((directory / "out").read_bytes())
    image[-1] ^= 1
    (directory / "damaged").write_bytes(image)
    (directory / "short").write_bytes(image[:-1])
    for arguments, complaint in (
        (["damaged"], "Chunk 1 of the update image is damaged."),
        (["short"], "The update image is truncated."),
        (["out", "--key", "other.pem"], "The signature of the update image is wrong."),
        (["out", "--key", "private.pem"], "There is no public key in the PEM."),
        (["notes"], "This is not an update image of this product."),
        (["missing"], "missing: No such file or directory."),
    ):
        assert main(["image", "inspect", *arguments]) == 1
        assert capsys.readouterr() == ("", f"keystead: {complaint}\n")


def test_an_existing_file_is_not_replaced(directory, capsys):
    (directory / "out").write_text("precious")
    assert sign() == 1
    assert capsys.readouterr().err == "keystead: out: File exists.\n"
    assert (directory / "out").read_text() == "precious"
    assert not (directory / "out.new").exists()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"version": "1.2"}, "'1.2' is not a version"),
        ({"image": "missing"}, "missing: No such file"),
        ({"key": "public.pem"}, "No private key in the PEM"),
        ({"key": "content"}, "content has more than 65536 bytes"),
    ],
)
def test_nothing_is_made_when_something_is_wrong(directory, capsys, options, complaint):
    assert sign(**options) == 1
    assert complaint in capsys.readouterr().err
    assert not list(directory.glob("out*"))


def test_an_empty_image_and_too_large_a_one_are_refused(directory, capsys, monkeypatch):
    (directory / "empty").touch()
    assert sign(image="empty") == 1
    monkeypatch.setattr(update_file, "MAX_IMAGE_BYTES", MAX_CHUNK_BYTES)
    assert sign() == 1
    assert f"over {MAX_CHUNK_BYTES} bytes" in capsys.readouterr().err
    assert not list(directory.glob("out*"))


def test_notes_must_be_text(directory, capsys):
    (directory / "notes").write_bytes(b"\xff")
    assert sign() == 1
    assert capsys.readouterr().err == "keystead: notes is not UTF-8.\n"


def test_an_image_that_changes_meanwhile_is_not_signed(directory, capsys, monkeypatch):
    def changing(**fields):
        with (directory / "content").open("r+b") as file:
            file.write(b"changed")
        return make_header(**fields)

    make_header = update_file.make_header
    monkeypatch.setattr(update_file, "make_header", changing)
    assert sign() == 1
    assert "changed while it was signed" in capsys.readouterr().err
    assert not list(directory.glob("out*"))


def test_an_encrypted_key_asks_for_its_passphrase(directory, monkeypatch):
    key = load_pem_private_key(key_pair(0)[0], None)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    (directory / "private.pem").write_bytes(pem)
    monkeypatch.setattr(getpass, "getpass", lambda _: "wrong")
    assert sign() == 1
    monkeypatch.setattr(getpass, "getpass", lambda _: "secret")
    assert sign() == 0
    assert main(["image", "inspect", "out", "--key", "public.pem"]) == 0


def test_memory_does_not_grow_with_the_image(directory):
    with (directory / "content").open("wb") as file:
        file.truncate(64 * MAX_CHUNK_BYTES)
    tracemalloc.start()
    try:
        assert sign() == 0
        assert main(["image", "inspect", "out", "--key", "public.pem"]) == 0
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 12 * MAX_CHUNK_BYTES


@pytest.mark.usefixtures("directory")
def test_the_policy_of_an_image_is_signed():
    value = "ab" * 32
    good = json.dumps({"measurements": {"pcr11": value}})
    Path("contents.json").write_text(good)
    assert main(["image", "keys", "keys"]) == 0
    make = ["image", "policy", "--key", "keys/policy.key", "--security-version"]
    assert main([*make, "2", "contents.json", "policy.json"]) == 0
    policy = ImagePolicy.parse(Path("policy.json").read_bytes())
    digest = pcr_policy(PcrSelection.parse("sha256:11"), {11: bytes.fromhex(value)})
    public = load_pem_public_key(Path("keys/policy.pem").read_bytes())
    for version in range(3):
        signature = policy.signature(version)
        r, s = (int.from_bytes(half) for half in (signature[:32], signature[32:]))
        message = digest + policy_reference(version)
        public.verify(encode_dss_signature(r, s), message, ec.ECDSA(SHA256()))
    assert main([*make, "2", "contents.json", "policy.json"]) == 1  # It is there already.
    for wrong in ("-1", "1001"):
        assert main([*make, wrong, "contents.json", "other"]) == 1
    for content in ("", "[]", '{"measurements": {}}', '{"measurements": {"pcr11": "ab"}}'):
        Path("contents.json").write_text(content)
        assert main([*make, "2", "contents.json", "other"]) == 1
    Path("contents.json").write_text(good)
    for key in ("keys/update.key", "keys/policy.pem"):
        assert main([*make[:3], key, make[-1], "2", "contents.json", "other"]) == 1
    assert not Path("other").exists()
