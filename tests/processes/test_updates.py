"""Update images through a real server: staged on its disk whole, or not at all."""

import contextlib
import http.client
import os
import signal
from pathlib import Path

import pytest

from keystead.sealing.update_image import MAX_CHUNK_BYTES
from tests.support.server import Server, basic, running_server, trusting_anyone, wait_until
from tests.support.update_images import key_pair, signed

CONFIG = '[update]\npublic_key = "update.pem"\n'
LONG_BYTES = 48 * MAX_CHUNK_BYTES
IMAGE = signed(os.urandom(100_000))
"""Longer than what an edge holds back until it is complete."""
OTHER = signed(os.urandom(100_000), release_notes="Other.")


@pytest.fixture
def updating_server(tmp_path):
    """An Operational server that takes update images."""
    (tmp_path / "update.pem").write_bytes(key_pair(0)[1])
    with running_server(tmp_path, config=CONFIG) as server:
        server.provision()
        yield server


def slot_files(server: Server) -> dict[str, bytes]:
    found = {}
    for entry in server.data.glob("update/*"):
        with contextlib.suppress(FileNotFoundError):  # It was dropped since.
            found[entry.name] = entry.read_bytes()
    return found


def upload(server: Server, image: bytes):
    return server.request("POST", "/system/update", user="admin", body=image)


def begin_upload(server: Server, image: bytes, *, sent: int) -> http.client.HTTPSConnection:
    """Send the first `sent` bytes of an image, and wait until the slot has whole chunks of them."""
    connection = http.client.HTTPSConnection(
        server.host, server.port, context=trusting_anyone(), timeout=30
    )
    connection.putrequest("POST", "/api/v1/system/update")
    connection.putheader("Authorization", basic("admin", server.passphrases["admin"]))
    connection.putheader("Content-Length", str(len(image)))
    connection.endheaders(image[:sent])
    arriving = server.data / "update/arriving.image"
    wait_until(lambda: arriving.exists() and arriving.stat().st_size > 50_000, seconds=10)
    return connection


def memory_bytes(pid: int, field: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise AssertionError(field)


def test_an_image_is_staged_as_it_was_sent_and_commit_says_how_to_update(updating_server):
    server = updating_server
    answer = upload(server, IMAGE)
    assert (answer.status, answer.json()) == (200, {"releaseNotes": "Better."})
    assert slot_files(server) == {"staged.image": IMAGE}
    committed = server.request("POST", "/system/commit-update", user="admin")
    assert committed.status == 412
    assert "package manager" in committed.json()["message"]
    server.request("POST", "/system/reboot", user="admin")
    server.wait_ready(times=2)
    server.unlock()
    assert slot_files(server) == {"staged.image": IMAGE}
    assert server.request("POST", "/system/cancel-update", user="admin").status == 204
    assert slot_files(server) == {}
    assert server.request("POST", "/system/cancel-update", user="admin").status == 412
    assert server.request("POST", "/system/commit-update", user="admin").status == 412


def test_a_long_image_takes_no_more_memory_than_a_short_one(updating_server):
    server = updating_server
    upload(server, IMAGE)
    pids = {role: server.child(role) for role in ("edge", "core", "platform")}
    before = {role: memory_bytes(pid, "VmHWM") for role, pid in pids.items()}
    long = signed(os.urandom(LONG_BYTES), chunk_size=MAX_CHUNK_BYTES)
    assert upload(server, long).status == 200
    assert slot_files(server) == {"staged.image": long}
    for role, pid in pids.items():
        assert memory_bytes(pid, "VmHWM") - before[role] < LONG_BYTES / 3, role


def test_a_client_that_goes_away_or_sends_a_bad_image_leaves_the_one_before(updating_server):
    server = updating_server
    upload(server, IMAGE)
    begin_upload(server, OTHER, sent=len(OTHER) - 1).close()
    wait_until(lambda: slot_files(server) == {"staged.image": IMAGE}, seconds=10)
    bad = OTHER[:-1] + bytes([OTHER[-1] ^ 1])
    statuses = []
    # The slot is free a moment after its file is gone.
    wait_until(
        lambda: statuses.append(upload(server, bad).status) or statuses[-1] != 409, seconds=10
    )
    assert statuses[-1] == 400
    assert slot_files(server) == {"staged.image": IMAGE}
    assert upload(server, OTHER).status == 200
    assert slot_files(server) == {"staged.image": OTHER}


def test_two_uploads_at_once_are_one_too_many(updating_server):
    server = updating_server
    first = begin_upload(server, IMAGE, sent=len(IMAGE) - 1)
    refused = upload(server, IMAGE)
    assert refused.status == 409
    first.send(IMAGE[-1:])
    assert first.getresponse().status == 200
    first.close()
    assert slot_files(server) == {"staged.image": IMAGE}


@pytest.mark.parametrize("victim", ["core", "platform"])
def test_a_crash_during_an_upload_leaves_no_half_image(updating_server, victim):
    server = updating_server
    upload(server, IMAGE)
    connection = begin_upload(server, OTHER, sent=len(OTHER) - 1)
    os.kill(server.child(victim), signal.SIGKILL)
    server.wait_ready(times=2)
    assert slot_files(server) == {"staged.image": IMAGE}
    connection.close()


def test_a_crash_of_everything_during_an_upload_leaves_no_half_image(tmp_path):
    (tmp_path / "update.pem").write_bytes(key_pair(0)[1])
    with running_server(tmp_path, config=CONFIG) as server:
        server.provision()
        connection = begin_upload(server, IMAGE, sent=len(IMAGE) - 1)
        server.kill()
        assert "arriving.image" in slot_files(server)
        connection.close()
    with running_server(tmp_path, config=CONFIG) as server:
        assert slot_files(server) == {}


def test_a_factory_reset_removes_the_staged_image(updating_server):
    server = updating_server
    upload(server, IMAGE)
    assert server.request("POST", "/system/factory-reset", user="admin").status == 204
    server.wait_ready(times=2)
    assert slot_files(server) == {}


def test_without_a_key_in_the_configuration_images_are_refused(provisioned_server):
    answer = upload(provisioned_server, IMAGE)
    assert answer.status == 412
    assert "names no public key" in answer.json()["message"]
    assert not (provisioned_server.data / "update").exists()
