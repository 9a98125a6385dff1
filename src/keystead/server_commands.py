"""`keystead serve`: what runs a server on this machine."""

import argparse
from pathlib import Path
from typing import Final, get_args

from keystead.imports import OPENSSL, USED_BY_THE_CORE, USED_WITH_TLS, leaving_out, without

# What the supervisor does not use takes 3 MiB.
with leaving_out(*USED_BY_THE_CORE, *USED_WITH_TLS), without(*OPENSSL):
    from msgspec.structs import replace

    from keystead.processes.platform.settings import PlatformSettings, RunningImage
    from keystead.processes.sandbox import INSECURE_OPTION
    from keystead.processes.supervisor.configuration import (
        DEFAULT_DATA,
        MAX_EDGES,
        Configuration,
        read_configuration,
        usual_edges,
    )
    from keystead.processes.supervisor.findings import warnings_at_start
    from keystead.processes.supervisor.listening import Address
    from keystead.processes.supervisor.supervisor import ServeOptions, serve

DEFAULT_ADDRESS: Final = Address("localhost", 8443)


def add_serve(serving: argparse.ArgumentParser) -> None:
    """Give `serving` what `keystead serve` takes."""
    serving.description = (
        "Run the server in the foreground, until SIGTERM or Ctrl-C. "
        "What is given here goes before what the configuration file says."
    )
    serving.set_defaults(run=lambda given: serve(_serve_options(given)))
    serving.add_argument("--config", type=Path, metavar="FILE", help="the configuration (TOML)")
    serving.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="where keys and configuration are kept; made if it is missing "
        f"(default: {DEFAULT_DATA})",
    )
    serving.add_argument(
        "--listen",
        type=_address,
        metavar="HOST:PORT",
        help=f"where HTTPS is served (default: {DEFAULT_ADDRESS})",
    )
    serving.add_argument(
        "--edges",
        type=_edge_count,
        metavar="N",
        help="processes for TLS and HTTP (default: CPU cores - 1, at least 1)",
    )
    serving.add_argument(
        INSECURE_OPTION,
        dest="is_sandboxed",
        action="store_false",
        help="start without seccomp and Landlock: an attacker who takes over one process "
        "can reach the others and the keys",
    )
    # For process 1 of the appliance, which starts the server.
    serving.add_argument("--restarts-machine", action="store_true", help=argparse.SUPPRESS)
    serving.add_argument("--configures-machine", action="store_true", help=argparse.SUPPRESS)
    serving.add_argument("--has-installer", action="store_true", help=argparse.SUPPRESS)
    serving.add_argument("--image", choices=get_args(RunningImage), help=argparse.SUPPRESS)


def _serve_options(given: argparse.Namespace) -> ServeOptions:
    """Return what to serve: the command line first, the file second, defaults last."""
    file = Configuration() if given.config is None else read_configuration(given.config)
    data = given.data or file.data or DEFAULT_DATA
    edges = given.edges or file.edges or usual_edges()
    return ServeOptions(
        data=data,
        address=given.listen or file.listen or DEFAULT_ADDRESS,
        edges=edges,
        platform=_platform(file.platform, data, given, edges=edges),
        is_sandboxed=given.is_sandboxed,
        proxies=file.proxies,
        etcd=file.etcd,
        restarts_machine=given.restarts_machine,
    )


def _platform(
    settings: PlatformSettings, data: Path, given: argparse.Namespace, *, edges: int
) -> PlatformSettings:
    """Return the settings with what process 1 of the appliance has said, and with warnings."""
    core = replace(
        settings.core,
        configures_machine=given.configures_machine,
        warnings=warnings_at_start(data, settings, edges=edges),
    )
    return replace(
        settings, has_installer=given.has_installer, running_image=given.image, core=core
    )


def _address(text: str) -> Address:
    try:
        return Address.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _edge_count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MAX_EDGES:
        raise argparse.ArgumentTypeError(f"give a number from 1 to {MAX_EDGES}")
    return int(text)
