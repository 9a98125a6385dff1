"""`keystead keys sign`, `verify`, `encrypt`, `decrypt`. What derives is in `key_derivation`."""

import base64
import binascii
import io
import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Final

from keystead.cli.attestation import nonce_of
from keystead.cli.command import Commands, Invocation
from keystead.cli.exit_status import UsageError
from keystead.cli.key_arguments import (
    DECRYPTION,
    ENCRYPTION,
    SIGNATURE,
    add_key_id,
    add_output,
    give,
    mode_of,
    read_input,
)
from keystead.cli.screen import write_file
from keystead.client.client import Json, to_base64
from keystead.client.json_text import parse_json

HASHES: Final = ("md5", "sha1", "sha224", "sha256", "sha384", "sha512")
_RAW: Final = "raw"
_STDIN: Final = Path("-")


def add_commands(commands: Commands) -> None:
    """Add the commands."""
    signing = commands.add("sign", _sign, "sign files, which are hashed as the key needs it")
    add_key_id(signing)
    signing.add_argument(
        "files", type=Path, nargs="+", metavar="FILE", help="'-' is stdin; of several, to FILE.sig"
    )
    _add_signature_options(signing)
    add_output(signing)
    attesting = commands.add("attest", _attest, "have the HSM sign what it knows of a key, a JWS")
    add_key_id(attesting)
    attesting.add_argument(
        "--nonce", metavar="BASE64", required=True, help="8 to 64 bytes that were never used before"
    )
    add_output(attesting)
    verifying = commands.add("verify", _verify, "check a signature, by the public key alone")
    add_key_id(verifying)
    verifying.add_argument("signature", type=Path, metavar="SIGNATURE")
    verifying.add_argument("file", type=Path, metavar="FILE", help="the message; '-' is stdin")
    _add_signature_options(verifying)
    where = verifying.add_mutually_exclusive_group()
    where.add_argument("--public", type=Path, metavar="PEM", help="the key; no HSM is asked")
    where.add_argument("--on-hsm", action="store_true", help="have the HSM check it")
    encrypting = commands.add("encrypt", _encrypt, "encrypt a file; the result is JSON")
    decrypting = commands.add("decrypt", _decrypt, "decrypt the JSON of 'encrypt', or a ciphertext")
    for parser in (encrypting, decrypting):
        add_key_id(parser)
        parser.add_argument("file", type=Path, metavar="FILE", help="'-' is stdin")
        parser.add_argument("--mode", help="as the API names it (default: the key's first)")
        parser.add_argument("--aad", type=Path, metavar="FILE", help="additional data of GCM")
        add_output(parser)


def _add_signature_options(parser: ArgumentParser) -> None:
    parser.add_argument("--mode", help="as the API names it (default: the key's first)")
    parser.add_argument("--hash", choices=HASHES, help="for PKCS1 (default: sha256)")
    parser.add_argument("--digest", action="store_true", help="FILE holds the digest already")
    parser.add_argument(
        "--format",
        choices=("der", _RAW),
        default="der",
        help="of ECDSA: DER, or r and s (default: der)",
    )


def _sign(call: Invocation) -> None:
    given = call.given
    if len(given.files) == 1:
        mode, (signature,) = _signatures(call)
        give(call, signature, {"mode": mode, "signature": to_base64(signature)})
        return
    if given.output is not None or _STDIN in given.files:
        raise UsageError("The signatures of several files are written beside them, to FILE.sig.")
    _, made = _signatures(call)
    for file, signature in zip(given.files, made, strict=True):
        write_file(Path(f"{file}.sig"), [signature])


def _signatures(call: Invocation) -> tuple[str, list[bytes]]:
    """Return the mode, and the signature of each file."""
    from keystead.cli import signatures

    given = call.given
    key = call.client.key(given.key_id)
    mode = given.mode or mode_of(key["mechanisms"], SIGNATURE)
    public = call.client.public_pem(given.key_id) if "public" in key else b""
    scheme = signatures.scheme_of(public, mode, given.hash)
    messages = [scheme.prepared(_digest(call, file, scheme)) for file in given.files]
    if len(messages) == 1:  # A NetHSM has no batches.
        made = [call.client.sign(given.key_id, mode, messages[0])]
    else:
        made = call.client.sign_many(given.key_id, mode, messages)
    if given.format == _RAW:
        made = [signatures.raw_of(public, signature) for signature in made]
    return mode, made


def _attest(call: Invocation) -> None:
    token = call.client.attest(call.given.key_id, nonce_of(call.given.nonce))
    write_file(call.given.output, [token, b"\n"], is_text=True)


def _verify(call: Invocation) -> None:
    from keystead.cli import signatures

    given = call.given
    if given.on_hsm:
        _verify_on_hsm(call)
        return
    public, mode = _public_key(call)
    scheme = signatures.scheme_of(public, mode, given.hash)
    signature = _signature(given.signature)
    if given.format == _RAW:
        signature = signatures.der_of(public, signature)
    signatures.verify(public, scheme, _digest(call, given.file, scheme), signature)
    call.screen.record({"valid": True}) if call.screen.is_json else call.screen.text("valid")


def _verify_on_hsm(call: Invocation) -> None:
    from keystead.cli import signatures

    given = call.given
    key = call.client.key(given.key_id)
    mode = given.mode or mode_of(key["mechanisms"], SIGNATURE)
    public = call.client.public_pem(given.key_id) if "public" in key else b""
    scheme = signatures.scheme_of(public, mode, given.hash)
    content = {
        "mode": mode,
        "message": to_base64(scheme.prepared(_digest(call, given.file, scheme))),
        "signature": to_base64(_signature(given.signature)),
    }
    if not call.client.use(given.key_id, "verify", content)["valid"]:
        raise signatures.SignatureInvalid("The signature is NOT valid.")
    call.screen.text("valid")


def _public_key(call: Invocation) -> tuple[bytes, str]:
    """Return the public key and the mode, from a file or from the HSM."""
    from keystead.cli import signatures

    given = call.given
    if given.public is not None:
        public = given.public.read_bytes()
        return public, given.mode or signatures.usual_mode(public)
    key = call.client.key(given.key_id)
    if "public" not in key:
        raise UsageError("This key has no public half: --on-hsm has the HSM check the signature.")
    mode = given.mode or mode_of(key["mechanisms"], SIGNATURE)
    return call.client.public_pem(given.key_id), mode


def _digest(call: Invocation, path: Path, scheme: Json) -> bytes:
    from keystead.cli import signatures

    if call.given.digest or path == _STDIN:
        content = read_input(path)
        return content if call.given.digest else signatures.digest_of(io.BytesIO(content), scheme)
    with path.open("rb") as file:
        return signatures.digest_of(file, scheme)


def _signature(path: Path) -> bytes:
    """Return a signature from a file: its bytes, or the base64 that `sign` shows."""
    content = read_input(path)
    try:
        return base64.b64decode(b"".join(content.split()), validate=True)
    except binascii.Error:
        return content


def _encrypt(call: Invocation) -> None:
    given = call.given
    key = call.client.key(given.key_id)
    message = read_input(given.file)
    if "public" in key:  # With the public key, here: the HSM is not needed for it.
        from keystead.cli import public_encryption

        mode = given.mode or mode_of(key["mechanisms"], DECRYPTION)
        public = call.client.public_pem(given.key_id)
        result = {"encrypted": to_base64(public_encryption.encrypt(public, mode, message))}
    else:
        mode = given.mode or mode_of(key["mechanisms"], ENCRYPTION)
        content = {"mode": mode, "message": to_base64(message), **_additional(call)}
        result = call.client.use(given.key_id, "encrypt", content)
    text = json.dumps({"mode": mode, **result}, indent=2) + "\n"
    write_file(given.output, [text.encode()], is_text=True)


def _decrypt(call: Invocation) -> None:
    given = call.given
    content = _sealed(read_input(given.file))
    mode = given.mode or content.pop("mode", None)
    if mode is None:
        mode = mode_of(call.client.key(given.key_id)["mechanisms"], DECRYPTION)
    answer = call.client.use(
        given.key_id, "decrypt", {**content, "mode": mode, **_additional(call)}
    )
    write_file(given.output, [base64.b64decode(answer["decrypted"])], is_text=False)


def _sealed(content: bytes) -> dict[str, str]:
    """Return the fields of what is to be decrypted: the JSON of `encrypt`, or bytes alone."""
    try:
        fields = parse_json(content)
    except ValueError:
        fields = None
    if isinstance(fields, dict) and "encrypted" in fields:
        return fields
    return {"encrypted": to_base64(content)}


def _additional(call: Invocation) -> dict[str, str]:
    return {} if call.given.aad is None else {"aad": to_base64(call.given.aad.read_bytes())}
