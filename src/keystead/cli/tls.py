"""`keystead tls`: the certificate that the HSM shows to its clients."""

from argparse import ArgumentParser
from pathlib import Path

from keystead.cli import subjects
from keystead.cli.command import Commands, Invocation, add_yes
from keystead.cli.key_arguments import add_output
from keystead.cli.screen import write_file
from keystead.client.trust import pin_of

_PEM = "application/x-pem-file"
_CHANGED = (
    "Clients that pin the certificate refuse the new one until they are told, by 'keystead "
    "profile forget HOST:PORT' or a profile with the new pin."
)


def add_commands(parser: ArgumentParser) -> None:
    """Add the commands below `keystead tls`."""
    commands = Commands(parser)
    add_output(commands.add("show", _show, "show the certificate and its chain, PEM"))
    requesting = commands.add("csr", _csr, "get a certificate signing request, PEM")
    subjects.add_options(requesting)
    add_output(requesting)
    installing = commands.add("install", _install, "install a certificate and its chain")
    installing.add_argument("file", type=Path, metavar="PEM")
    generating = commands.add("generate", _generate, "make a new key with a certificate of its own")
    generating.add_argument("--type", default="EC_P256", help="the key's type (default: EC_P256)")
    generating.add_argument("--length", type=int, metavar="BITS", help="of an RSA key")
    for parser_of_change in (installing, generating):
        add_yes(parser_of_change)


def _show(call: Invocation) -> None:
    write_file(call.given.output, [call.client.get_bytes("/config/tls/cert.pem")], is_text=True)


def _csr(call: Invocation) -> None:
    pem = call.client.post_for_bytes("/config/tls/csr.pem", subjects.subject_of(call.given))
    write_file(call.given.output, [pem], is_text=True)


def _install(call: Invocation) -> None:
    call.require_consent(f"Replace the HSM's certificate? {_CHANGED}")
    call.client.put_bytes("/config/tls/cert.pem", call.given.file.read_bytes(), _PEM)
    call.screen.done(f"The certificate is installed. {_pin(call)}")


def _generate(call: Invocation) -> None:
    content = {"type": call.given.type}
    if call.given.length is not None:
        content["length"] = call.given.length
    call.require_consent(f"Replace the HSM's TLS key and certificate? {_CHANGED}")
    call.client.post("/config/tls/generate", content)
    call.screen.done(f"The HSM has a new TLS key. {_pin(call)}")


def _pin(call: Invocation) -> str:
    """Return what clients have to pin, asked over the connection that was trusted before."""
    pin = pin_of(call.client.get_bytes("/config/tls/cert.pem").decode())
    return f"Its pin is sha256:{pin.sha256}."
