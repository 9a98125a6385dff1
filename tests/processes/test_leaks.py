"""A whole life of a server at its most talkative, and then a search for every secret in all of it.

Searched: standard output and error, syslog, each answer's head and body, the data directory, the
command lines and environments of all processes, and temporary files.
"""

import base64
import contextlib
import json
import os
import secrets as random
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from mnemonic import Mnemonic
from slip10 import SLIP10

from keystead import algorithms
from tests.support.curves import WEIERSTRASS
from tests.support.known_secrets import add_private_key, add_stored_secrets, private_pem
from tests.support.leaks import Secrets, encodings
from tests.support.server import Answer, Server, basic, running_server, wait_until

BOUNDARY = "x-boundary-x"
REFUSED_SECONDS = 1.1
"""After a wrong passphrase."""


@dataclass
class Life:
    """A server, and all that was heard of it."""

    server: Server
    temporary: Path
    secrets: Secrets = field(default_factory=Secrets)
    leaks: list[tuple[list[str], bytes]] = field(default_factory=list)
    """Answers that held a secret which was known by then, and which."""
    answers: int = 0

    def secret(self, name: str) -> str:
        """A new passphrase, to be found nowhere."""
        value = f"{random.token_hex(12)} <{name}>"
        self.secrets.add(name, value)
        return value

    def ask(self, method: str, path: str, **given: Any) -> Answer:
        answer = self.server.request(method, path, **given)
        self.answers += 1
        heard = f"{method} {path}: {answer.headers} ".encode() + answer.body
        if found := self.secrets.found_in(heard):
            self.leaks.append((found, heard))
        return answer

    def require(self, status: int, method: str, path: str, **given: Any) -> Answer:
        answer = self.ask(method, path, **given)
        assert answer.status == status, (method, path, answer)
        return answer


def form(**parts: bytes) -> dict[str, Any]:
    """A body of these parts, and its Content-Type."""
    body = b""
    for name, content in parts.items():
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'
        body += head.encode() + content + b"\r\n"
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    return {"body": body + f"--{BOUNDARY}--\r\n".encode(), "headers": headers}


@pytest.fixture
def collector() -> Iterator[tuple[int, bytearray]]:
    """A syslog receiver: its port, and all that it has received."""
    received, done = bytearray(), threading.Event()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(0.1)

        def listen() -> None:
            while not done.is_set():
                with contextlib.suppress(TimeoutError):
                    received.extend(receiver.recv(65536))

        listening = threading.Thread(target=listen)
        listening.start()
        yield receiver.getsockname()[1], received
        done.set()
        listening.join()


# --- a life ------------------------------------------------------------------------------------


def provision(life: Life) -> str:
    unlock = life.secret("unlock passphrase")
    life.server.passphrases["admin"] = life.secret("admin's passphrase")
    wanted = {
        "unlockPassphrase": unlock,
        "adminPassphrase": life.server.passphrases["admin"],
        "systemTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    life.require(400, "POST", "/provision", json=wanted | {"systemTime": unlock})
    life.require(204, "POST", "/provision", json=wanted)
    return unlock


def add_users(life: Life) -> None:
    for name, role in (("operator", "Operator"), ("metrics", "Metrics"), ("backup", "Backup")):
        passphrase = life.server.passphrases[name] = life.secret(f"{name}'s passphrase")
        wanted = {"realName": name, "role": role, "passphrase": passphrase}
        life.require(201, "PUT", f"/users/{name}", user="admin", json=wanted)
    changed = life.server.passphrases["operator"] = life.secret("operator's second passphrase")
    path = "/users/operator/passphrase"
    life.require(204, "POST", path, user="admin", json={"passphrase": changed})


def add_keys(life: Life) -> None:
    for name in algorithms.BY_NAME:
        length = {"RSA": 2048, "Generic": 256}.get(name)
        wanted = {"id": f"made-{name}", "type": name, "mechanisms": mechanisms(name)}
        wanted |= {} if length is None else {"length": length}
        life.require(201, "POST", "/keys/generate", user="admin", json=wanted)
    for name, curve in WEIERSTRASS.items():
        import_both_ways(life, name, ec.generate_private_key(curve))
    import_both_ways(life, "Curve25519", ed25519.Ed25519PrivateKey.generate())
    import_both_ways(life, "RSA", rsa.generate_private_key(65537, 2048))
    import_mnemonic(life)


def import_mnemonic(life: Life) -> None:
    """Import a wallet, and what is nearly one; use a key of its tree, which is a secret too."""
    words, passphrase = Mnemonic("english").generate(256), life.secret("mnemonic passphrase")
    life.secrets.add("half a mnemonic", words[: len(words) // 2])
    private = {"mnemonic": words, "mnemonicPassphrase": passphrase}
    wanted = {"type": "BIP32", "mechanisms": mechanisms("BIP32"), "private": private}
    life.require(204, "PUT", "/keys/wallet", user="admin", json=wanted)
    for wrong in ({"mnemonic": words + " zoo"}, {**private, "data": "AAAA"}):
        body = {**wanted, "private": wrong}
        life.require(400, "PUT", "/keys/wallet-x", user="admin", json=body)
    wallet = SLIP10.from_seed(Mnemonic.to_seed(words, passphrase))
    for path in ("m", "m/44'", "m/44'/0"):
        chain_code, scalar = wallet.get_extended_privkey_from_path(path)
        life.secrets.add(f"chain code of {path}", chain_code)
        life.secrets.add(f"private key of {path}", scalar)
    body = {"mode": "ECDSA", "message": base64.b64encode(bytes(32)).decode()}
    body["derivation"] = "m/44'/0"
    life.require(200, "POST", "/keys/wallet/sign", user="operator", json=body)
    life.require(200, "GET", "/keys/wallet?derivation=m/44%27/0", user="operator")


def mechanisms(name: str) -> list[str]:
    return [one.name for one in algorithms.BY_NAME[name].mechanisms]


def import_both_ways(life: Life, name: str, key: Any) -> None:
    add_private_key(life.secrets, f"imported {name}", key)
    wanted = {"type": name, "mechanisms": mechanisms(name), "private": parts_of(key)}
    path = f"/keys/raw-{name}"
    put = {"user": "admin"}
    assert life.ask("PUT", path, json=wanted, **put).status in {201, 204}
    attributes = json.dumps({"mechanisms": mechanisms(name)}).encode()
    pem = form(arguments=attributes, key_file=private_pem(key))
    assert life.ask("PUT", f"/keys/pem-{name}", **put, **pem).status in {201, 204}
    # And what goes wrong with a key that is right but for a little.
    wrong = {field: value[:-4] + "!!!!" for field, value in parts_of(key).items()}
    life.require(400, "PUT", path + "-x", json=wanted | {"private": wrong}, **put)
    life.require(400, "PUT", path + "-y", json=wanted | {"type": parts_of(key)}, **put)
    cut = form(arguments=attributes, key_file=private_pem(key)[:-40])
    life.require(400, "PUT", path + "-z", **put, **cut)


def parts_of(key: Any) -> dict[str, str]:
    def encoded(value: bytes) -> str:
        return base64.b64encode(value).decode()

    if isinstance(key, ed25519.Ed25519PrivateKey):
        return {"data": encoded(key.private_bytes_raw())}
    numbers = key.private_numbers()
    if isinstance(key, rsa.RSAPrivateKey):
        parts = {"primeP": numbers.p, "primeQ": numbers.q, "publicExponent": 65537}
        sizes = {name: (value.bit_length() + 7) // 8 for name, value in parts.items()}
        return {name: encoded(value.to_bytes(sizes[name])) for name, value in parts.items()}
    return {"data": encoded(numbers.private_value.to_bytes((key.key_size + 7) // 8))}


def use_keys(life: Life) -> None:
    message = base64.b64encode(bytes(32)).decode()
    listed = life.require(200, "GET", "/keys", user="operator").json()
    assert len(listed) > 25
    for key in listed:
        path = f"/keys/{key['id']}"
        life.ask("GET", path, user="operator")
        life.ask("GET", f"{path}/public.pem", user="operator")
        nonce = {"nonce": base64.b64encode(bytes(16)).decode()}
        life.require(200, "POST", f"{path}/attestation", user="operator", json=nonce)
        for mode in ("ECDSA", "PKCS1"):
            life.ask(
                "POST", f"{path}/sign", user="operator", json={"mode": mode, "message": message}
            )
        life.ask(
            "POST", f"{path}/decrypt", user="operator", json={"mode": "RAW", "encrypted": "AAAA"}
        )
    sign(life)
    life.require(
        200,
        "POST",
        "/keys/made-Generic/encrypt",
        user="operator",
        json={"mode": "AES_CBC", "message": message},
    )
    derived = {"mode": "HKDF_SHA256", "length": 32, "into": {"mechanisms": ["HMAC_SHA256"]}}
    life.require(201, "POST", "/keys/made-Generic/derive", user="operator", json=derived)
    life.require(200, "POST", "/random", user="operator", json={"length": 32})


def sign(life: Life) -> None:
    wanted = {"mode": "ECDSA", "message": base64.b64encode(bytes(32)).decode()}
    life.require(200, "POST", "/keys/pem-EC_P256/sign", user="operator", json=wanted)


def go_wrong(life: Life, unlock: str) -> None:
    """Errors of all kinds, each with a secret in it or near it."""
    admin = life.server.passphrases["admin"]
    for body in (
        f'{{"passphrase": "{admin}"',
        f'{{"passphrase": ["{admin}"]}}',
        f'{{"passphrase": "{admin}\\ud800"}}',
        f'"{admin}"',
        admin,
        f'{{"realName": "x", "role": "{admin}", "passphrase": "{admin}"}}',
        f'{{"realName": 1, "role": "Operator", "passphrase": "{admin}"}}',
    ):
        sent = {"body": body.encode(), "headers": {"Content-Type": "application/json"}}
        for method, path in (
            ("POST", "/users/operator/passphrase"),
            ("PUT", "/users/new"),
            ("POST", "/unlock"),
            ("PUT", "/config/unlock-passphrase"),
            ("PUT", "/config/backup-passphrase"),
            ("PUT", "/config/logging"),
            ("POST", "/keys/generate"),
        ):
            assert life.ask(method, path, user="admin", **sent).status in {400, 412}
    wrong = life.secret("a wrong passphrase")
    life.require(401, "GET", "/users", user="operator", passphrase=wrong)
    life.require(429, "GET", "/users", user="operator", passphrase=wrong)
    life.require(401, "GET", "/users", user=wrong, passphrase=wrong)
    for header in (basic("admin", admin)[:-3] + "!", f"Bearer {admin}", admin, f"Basic {admin}"):
        life.require(401, "GET", "/users", headers={"Authorization": header})
    change = {"newPassphrase": unlock, "currentPassphrase": wrong}
    life.require(403, "PUT", "/config/unlock-passphrase", user="admin", json=change)
    life.ask("GET", "/nowhere", user="admin")
    life.ask("GET", "/keys", user="metrics")
    pem = private_pem(ec.generate_private_key(ec.SECP256R1()))
    life.secrets.add_pem("a private key in place of a certificate", pem)
    put = {"body": pem, "headers": {"Content-Type": "application/x-pem-file"}}
    life.require(400, "PUT", "/config/tls/cert.pem", user="admin", **put)


def change_settings(life: Life, unlock: str) -> str:
    new = life.secret("second unlock passphrase")
    change = {"newPassphrase": new, "currentPassphrase": unlock}
    life.require(204, "PUT", "/config/unlock-passphrase", user="admin", json=change)
    wanted = {"type": "EC_P256"}
    assert life.ask("POST", "/config/tls/generate", user="admin", json=wanted).status in {200, 204}
    life.require(
        200,
        "POST",
        "/config/tls/csr.pem",
        user="admin",
        json=dict.fromkeys(("commonName", "countryName"), "XX"),
    )
    return new


def back_up(life: Life) -> tuple[str, bytes]:
    passphrase = life.secret("backup passphrase")
    wanted = {"newPassphrase": passphrase, "currentPassphrase": ""}
    life.require(204, "PUT", "/config/backup-passphrase", user="admin", json=wanted)
    file = life.require(200, "POST", "/system/backup", user="backup").body
    return passphrase, file


def restore(life: Life, passphrase: str, file: bytes, *, user: str | None) -> None:
    for said, status in ((passphrase + "!", 400), (passphrase, 204)):
        arguments = json.dumps({"backupPassphrase": said}).encode()
        life.require(
            status,
            "POST",
            "/system/restore",
            user=user,
            **form(arguments=arguments, backup_file=file),
        )


def crash(life: Life, number: signal.Signals, times: int) -> None:
    core = life.server.child("core")
    limits = Path(f"/proc/{core}/limits").read_text()
    assert limits.partition("Max core file size")[2].split()[:2] == ["0", "0"]
    os.kill(core, number)
    life.server.wait_ready(times=times)
    assert life.server.ready_state == "Locked"


def processes_show(server: Server) -> bytes:
    """Command lines and environments of all processes."""
    shown = b""
    for pid in (server.pid, *server.children()):
        for name in ("cmdline", "environ"):
            with contextlib.suppress(PermissionError):  # Not dumpable, and we are not root.
                shown += Path(f"/proc/{pid}/{name}").read_bytes()
    return shown


def files_below(*places: Path) -> Iterator[Path]:
    for place in places:
        for directory, _, names in os.walk(place):
            yield from (Path(directory) / name for name in names)


def require_nothing_found(life: Life, where: str, data: bytes, *, but: str = "") -> None:
    excepted = [name for name in life.secrets.values if but and name.endswith(but)]
    assert life.secrets.found_in(data, but=excepted) == [], where


def require_nothing_in_files(life: Life) -> None:
    for file in files_below(life.server.data, life.temporary):
        but = "device key" if file.name == "device.key" else ""
        require_nothing_found(life, file.name, file.read_bytes(), but=but)
        assert not file.name.startswith("core"), "a core dump"


def live(life: Life, syslog_port: int) -> bytes:
    """Live a whole life; return what the processes showed of themselves."""
    server = life.server
    unlock = provision(life)
    logging = {"ipAddress": "127.0.0.1", "port": syslog_port, "logLevel": "debug"}
    life.require(204, "PUT", "/config/logging", user="admin", json=logging)
    add_users(life)
    add_keys(life)
    use_keys(life)
    add_stored_secrets(life.secrets, server.data, unlock, prefix="first ")
    go_wrong(life, unlock)
    time.sleep(REFUSED_SECONDS)
    unlock = change_settings(life, unlock)
    backup_passphrase, file = back_up(life)
    add_stored_secrets(life.secrets, server.data, unlock, prefix="second ")
    restore(life, backup_passphrase, file, user="admin")
    life.require(200, "GET", "/metrics", user="metrics")
    life.require(200, "GET", "/metrics", user="metrics", headers={"Accept": "text/plain"})
    shown = processes_show(server)
    crash(life, signal.SIGABRT, times=2)
    life.require(403, "POST", "/unlock", json={"passphrase": unlock + "!"})
    time.sleep(REFUSED_SECONDS)
    life.require(204, "POST", "/unlock", json={"passphrase": unlock})
    sign(life)
    crash(life, signal.SIGSEGV, times=3)
    life.require(204, "POST", "/unlock", json={"passphrase": unlock})
    life.require(204, "POST", "/lock", user="admin")
    life.require(204, "POST", "/unlock", json={"passphrase": unlock})
    require_nothing_in_files(life)
    life.require(204, "POST", "/system/factory-reset", user="admin")
    server.wait_ready(times=4)
    restore(life, backup_passphrase, file, user=None)
    life.require(204, "POST", "/unlock", json={"passphrase": unlock})
    add_stored_secrets(life.secrets, server.data, unlock, prefix="third ")
    require_nothing_in_files(life)
    return shown + processes_show(server)


def test_no_secret_is_found_in_anything_a_server_says_or_keeps(tmp_path, collector):
    port, syslog = collector
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    dumps = set(dumps_here())
    environment = {"TMPDIR": str(temporary), "PYTHONFAULTHANDLER": "1"}
    with running_server(tmp_path, environment=environment) as server:
        life = Life(server, temporary)
        shown = live(life, port)
    wait_until(lambda: b"locked" in syslog, seconds=60)
    assert b'"request answered"' in syslog
    assert life.answers > 250
    assert len(life.secrets.values) > 200
    require_nothing_found(life, "the log", server.log_file.read_bytes())
    require_nothing_found(life, "standard output", server.output_file.read_bytes())
    require_nothing_found(life, "syslog", bytes(syslog))
    assert life.leaks == []
    require_nothing_found(life, "processes", shown)
    require_nothing_in_files(life)
    assert set(dumps_here()) <= dumps


def dumps_here() -> Iterator[Path]:
    for place in (Path("/"), Path.cwd(), Path(tempfile.gettempdir())):
        yield from (file for file in place.glob("core*") if file.is_file())


# --- the searcher ------------------------------------------------------------------------------


PLANTS: dict[str, Callable[[bytes], bytes]] = {
    "raw": lambda value: b"x" + value + b"y",
    "little-endian": lambda value: value[::-1],
    "hex": lambda value: value.hex().encode(),
    "upper-case hex": lambda value: value.hex().upper().encode(),
    "a number": lambda value: b"d = %d;" % int.from_bytes(value),
    "base64": base64.b64encode,
    "base64 in a longer value": lambda value: base64.b64encode(b"a" + value + b"bc"),
    "base64 in a value longer by two": lambda value: base64.b64encode(b"ab" + value + b"c"),
    "URL-safe base64": lambda value: base64.urlsafe_b64encode(b"a" + value),
    "the repr of bytes": lambda value: repr(value).encode(),
    "JSON with base64": lambda value: json.dumps({"d": base64.b64encode(value).decode()}).encode(),
}


@pytest.mark.parametrize("form", PLANTS)
def test_the_search_finds_a_secret_that_is_there(form):
    secrets = Secrets()
    for _ in range(50):
        value = random.token_bytes(32)
        secrets.add("planted", value)
        hay = random.token_bytes(1000) + PLANTS[form](value) + random.token_bytes(1000)
        assert secrets.found_in(hay) != []
        assert secrets.found_in(random.token_bytes(3000)) == []


def test_the_search_finds_a_passphrase_in_a_header():
    secrets = Secrets()
    secrets.add("passphrase", "correct horse battery")
    assert secrets.found_in(basic("admin", "correct horse battery").encode())


@pytest.mark.parametrize("line_break", [b"\n", b"\r\n", b"\\n", b"\\\\n"])
def test_the_search_finds_a_key_in_a_pem_wherever_its_lines_break(line_break):
    key = rsa.generate_private_key(65537, 2048)
    secrets = Secrets()
    add_private_key(secrets, "key", key)
    found = secrets.found_in(private_pem(key).replace(b"\n", line_break))
    for part in ("DER", "p", "q", "d", "dmp1", "dmq1", "iqmp"):
        assert any(one.startswith(f"key, {part} (base64") for one in found), part


def test_a_secret_that_would_be_found_by_chance_is_refused():
    with pytest.raises(AssertionError):
        Secrets().add("short", "1234567")
    assert len(dict(encodings(b"12345678"))) > 10
