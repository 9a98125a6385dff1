"""OpenSC's pkcs11-tool with the module, and OpenSSL, which knows nothing of it, to check."""

import pytest

from tests.pkcs11.conftest import hexed, need

MESSAGE = b"a message to sign\n"
PKCS1_SHA256 = ("SHA256-RSA-PKCS",)
PSS_SHA256 = ("SHA256-RSA-PKCS-PSS", "--mgf=MGF1-SHA256", "--salt-len=32")


def test_the_keys_of_the_server_are_listed_with_both_halves(token):
    shown = token.tool("--list-objects")
    for kind in ("EC_P256", "RSA", "Curve25519"):
        assert shown.count(f"label:      the {kind}\n") == 2
    assert shown.count("Secret Key Object; AES") == 1


@pytest.mark.parametrize(
    ("key", "mechanism", "check"),
    [
        ("EC_P256", ("ECDSA-SHA256",), ("-sha256",)),
        ("EC_P256", ("ECDSA-SHA512",), ("-sha512",)),
        ("EC_P384", ("ECDSA-SHA384",), ("-sha384",)),
        ("EC_P384", ("ECDSA-SHA1",), ("-sha1",)),
        ("EC_P521", ("ECDSA-SHA512",), ("-sha512",)),
        ("RSA", PKCS1_SHA256, ("-sha256",)),
        ("RSA", PSS_SHA256, ("-sha256", "-sigopt", "rsa_padding_mode:pss")),
    ],
)
def test_openssl_accepts_what_the_module_signs(token, key, mechanism, check):
    message, signature = token.folder / "message", token.folder / "signature"
    message.write_bytes(MESSAGE)
    name, *options = mechanism
    files = (f"--input-file={message}", f"--output-file={signature}", "--signature-format=openssl")
    token.tool("--sign", f"--mechanism={name}", *options, hexed(key), *files)
    public = token.public_key(key)
    said = token.run("openssl", "dgst", *check, "-verify", public, "-signature", signature, message)
    assert said == "Verified OK\n"


def test_an_ed25519_signature_has_64_bytes_and_verifies(token):
    message, signature = token.folder / "message", token.folder / "signature"
    message.write_bytes(MESSAGE)
    files = (f"--input-file={message}", f"--output-file={signature}")
    token.tool("--sign", "--mechanism=EDDSA", hexed("Curve25519"), *files)
    assert signature.stat().st_size == 64
    public = token.public_key("Curve25519")
    check = ("-verify", "-pubin", "-inkey", public, "-rawin", "-in", message, "-sigfile", signature)
    assert "Verified Successfully" in token.run("openssl", "pkeyutl", *check)


@pytest.mark.parametrize("salt", ["20", "0", "64"])
def test_a_salt_of_another_length_is_refused_and_not_replaced(token, salt):
    name, *options = PSS_SHA256
    message = token.folder / "message"
    message.write_bytes(MESSAGE)
    asked = (options[0], f"--salt-len={salt}", f"--input-file={message}")
    said = token.tool("--sign", f"--mechanism={name}", *asked, hexed("RSA"), accept=(1,))
    assert "CKR_MECHANISM_PARAM_INVALID" in said


@pytest.mark.parametrize(
    ("mechanism", "padding"),
    [
        (("RSA-PKCS",), ("rsa_padding_mode:pkcs1",)),
        (
            ("RSA-PKCS-OAEP", "--hash-algorithm=SHA256", "--mgf=MGF1-SHA256"),
            ("rsa_padding_mode:oaep", "rsa_oaep_md:sha256", "rsa_mgf1_md:sha256"),
        ),
    ],
)
def test_the_module_decrypts_what_openssl_encrypts(token, mechanism, padding):
    message, encrypted, decrypted = (token.folder / name for name in ("m", "e", "d"))
    message.write_bytes(MESSAGE)
    options = [word for option in padding for word in ("-pkeyopt", option)]
    public = token.public_key("RSA")
    keys = ("-encrypt", "-pubin", "-inkey", public, "-in", message, "-out", encrypted)
    token.run("openssl", "pkeyutl", *keys, *options)
    name, *options = mechanism
    files = (f"--input-file={encrypted}", f"--output-file={decrypted}")
    token.tool("--decrypt", f"--mechanism={name}", *options, hexed("RSA"), *files)
    assert decrypted.read_bytes() == MESSAGE


def test_keys_are_generated_labelled_and_deleted(token):
    options = ("--id=01ff", "--label=made here")
    token.tool("--keypairgen", "--key-type=EC:prime256v1", *options)
    listed = token.server.request("GET", "/keys/0---01ff", user="admin").json()
    assert (listed["type"], listed["label"]) == ("EC_P256", "made here")
    assert "made here" in token.tool("--list-objects", "--label=made here", "--type=privkey")
    token.tool("--delete-object", "--type=privkey", "--id=01ff")
    assert token.server.request("GET", "/keys/0---01ff", user="admin").status == 404


def test_a_label_too_long_for_the_server_is_shortened_and_found(token):
    label = "example.-hsm.-zsk-" + "20261128173351110" * 6
    token.tool("--keypairgen", "--key-type=EC:prime256v1", "--id=01fe", f"--label={label}")
    shown = token.tool("--list-objects", f"--label={label}", "--type=pubkey")
    assert "label:      example.-hsm.-z~" in shown
    assert "ID:         01fe\n" in shown
    token.tool("--delete-object", "--type=privkey", "--id=01fe")


def test_keys_are_brought_in_and_sign(token):
    need("openssl")
    file, message, signature = (token.folder / name for name in ("key.der", "m", "s"))
    message.write_bytes(MESSAGE)
    curve = ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
    token.run("openssl", "genpkey", *curve, "-outform", "DER", "-out", file)
    token.tool(
        "--write-object", file, "--type=privkey", hexed("brought"), "--label=x", "--usage-sign"
    )
    files = (f"--input-file={message}", f"--output-file={signature}", "--signature-format=openssl")
    token.tool("--sign", "--mechanism=ECDSA-SHA256", hexed("brought"), *files)
    check = ("-sha256", "-prverify", file, "-keyform", "DER", "-signature", signature, message)
    assert token.run("openssl", "dgst", *check) == "Verified OK\n"


def test_a_certificate_is_stored_beside_its_key_and_read_back(token):
    file, key, back = (token.folder / name for name in ("c.der", "k.pem", "back.der"))
    make = (
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-subj",
        "/CN=x",
    )
    token.run("openssl", "req", *make, "-keyout", key, "-outform", "DER", "-out", file)
    token.tool("--write-object", file, "--type=cert", hexed("EC_P384"))
    assert "subject:    DN: CN=x" in token.tool("--list-objects", "--type=cert")
    token.tool("--read-object", "--type=cert", hexed("EC_P384"), f"--output-file={back}")
    assert back.read_bytes() == file.read_bytes()
    token.tool("--delete-object", "--type=cert", hexed("EC_P384"))
    assert (
        token.tool("--list-objects", "--type=cert") == "Using slot 0 with a present token (0x0)\n"
    )


def test_random_bytes_come_from_the_server(token):
    file = token.folder / "random"
    token.tool("--generate-random=2000", f"--output-file={file}")
    assert file.stat().st_size == 2000
    assert file.read_bytes()[1900:] != bytes(100)


def test_pkcs11_tool_finds_no_fault(token):
    shown = token.tool("--login", f"--pin={token.server.passphrases['operator']}", "--test")
    assert shown.endswith("No errors\n"), shown


def test_a_wrong_pin_is_refused_as_such_and_the_right_one_serves(token):
    del token.settings["pin"]
    assert "login required" in token.tool("--list-slots")
    assert "CKR_PIN_INCORRECT" in token.tool(
        "--login", "--pin=wrong", "--list-objects", accept=(1,)
    )
    pin = token.server.passphrases["operator"]  # The server refuses it for a second.
    assert "the EC_P256" in token.tool("--login", f"--pin={pin}", "--list-objects")


def test_without_a_configured_user_the_pin_names_it(token):
    del token.settings["pin"], token.settings["user"]
    pin = f"operator:{token.server.passphrases['operator']}"
    assert "the EC_P256" in token.tool("--login", f"--pin={pin}", "--list-objects")


@pytest.mark.parametrize(
    ("setting", "value", "line"),
    [
        ("key-types", '["EC_P257"]', 'slot "keystead": there is no key type "EC_P257"'),
        ("colour", '"red"', "line 8: unknown field `colour`"),
        ("instances", '["http://127.0.0.1"]', '"http://127.0.0.1" does not begin with https://'),
    ],
)
def test_a_mistake_in_the_configuration_is_one_clear_line(token, setting, value, line):
    token.settings[setting] = value
    said = token.tool("--list-slots", accept=(1,))
    assert line in said
    assert "CKR_GENERAL_ERROR" in said
    assert token.server.passphrases["operator"] not in said


def test_the_configuration_hides_keys_by_type_and_prefix(token):
    token.settings |= {"key-types": '["EC_P256", "EC_P384"]', "prefix": '"EC_P2"'}
    shown = token.tool("--list-objects")
    assert "the EC_P256" in shown
    assert "Curve25519" not in shown
    assert "EC_P384" not in shown


def test_a_key_whose_id_lacks_the_prefix_is_not_made(token):
    token.settings["prefix"] = '"mine-"'
    make = ("--keypairgen", "--key-type=EC:prime256v1")
    said = token.tool(*make, hexed("other"), accept=(1,))
    assert 'slot "keystead": the ID "other" does not begin with the prefix "mine-"' in said
    assert "CKR_ATTRIBUTE_VALUE_INVALID" in said
    assert token.server.request("GET", "/keys/other", user="admin").status == 404
    token.tool(*make, hexed("mine-key"), "--label=made with the prefix")
    token.tool("--delete-object", "--type=privkey", hexed("mine-key"))


def test_an_instance_that_is_away_is_passed_over(token):
    token.settings["instances"] = f'["https://127.0.0.1:9", "{token.server.url}"]'
    for _ in range(3):
        assert "the EC_P256" in token.tool("--list-objects")


def test_a_certificate_that_is_not_the_pinned_one_is_not_talked_to(token):
    token.settings["pinned-sha256"] = f'["{"00" * 32}"]'
    token.settings["call-seconds"] = "1"
    said = token.tool("--list-objects", accept=(0, 1))
    assert "CKR_DEVICE_ERROR" in said
    assert "certificate" in said
