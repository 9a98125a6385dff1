"""`keystead cluster witness`, from the request to a unit that systemd can judge."""

import contextlib
import io
import json
import re
import shutil
import stat
import subprocess
from typing import NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from keystead.__main__ import main
from tests.support.authority import Authority, name


class Ended(NamedTuple):
    """A command that has ended."""

    status: int
    said: str


URL = "https://192.0.2.3:2380"
HSMS = [
    {"id": "a1", "name": "keystead-1", "urls": ["https://192.0.2.1:2380"], "learner": False},
    {"id": "a2", "name": "keystead-2", "urls": ["https://hsm.example:2380"], "learner": False},
]


def witness(*arguments):
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        status = main(["cluster", "witness", *map(str, arguments)])
    return Ended(status, said.getvalue())


def requested(directory, url=URL):
    done = witness("request", directory, f"--url={url}")
    assert done.status == 0, done.said
    return (directory / "request.pem").read_bytes()


def configured(directory, certificate, authority, *, url=URL, members=HSMS, more=()):
    own = {"id": "b3", "name": "", "urls": [url], "learner": True}
    content = json.dumps({"members": [*members, own], "joinerKit": "sealed"})
    files = {"members": content.encode(), "certificate": certificate, "ca": authority}
    given = []
    for option, content in files.items():
        file = directory.parent / option
        file.write_bytes(content)
        given.append(f"--{option}={file}")
    return witness("configure", directory, *given, *more)


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "witness"


@pytest.fixture(scope="module")
def authority():
    return Authority("cluster")


def test_a_witness_gets_a_unit_that_starts_etcd_as_one_more_member(directory, authority):
    request = requested(directory)
    done = configured(directory, authority.sign(request), authority.pem)
    assert done.status == 0, done.said
    assert "promote b3" in done.said
    unit = (directory / "keystead-witness.service").read_text()
    (own,) = set(re.findall(r"witness-[0-9a-f]{8}", unit))
    assert f" --name={own} " in unit
    peers = f"keystead-1=https://192.0.2.1:2380,keystead-2=https://hsm.example:2380,{own}={URL}"
    assert f" --initial-cluster={peers} " in unit
    assert " --initial-cluster-state=existing " in unit
    assert " --peer-client-cert-auth " in unit
    assert f"LoadCredential=key.pem:{directory}/key.pem\n" in unit
    assert "sealed" not in unit
    for path in (directory, *directory.iterdir()):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path
    again = configured(directory, authority.sign(request), authority.pem)
    assert again.status == 0, again.said
    assert (directory / "keystead-witness.service").read_text() == unit


@pytest.mark.parametrize("url", ["https://[2001:db8::1]:2380", "https://witness.example:2380"])
def test_the_request_names_the_host_that_the_members_ask_for(directory, authority, url):
    request = x509.load_pem_x509_csr(requested(directory, url))
    names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert str(names[0].value) in url
    certificate = authority.sign((directory / "request.pem").read_bytes())
    assert configured(directory, certificate, authority.pem, url=url).status == 0


def test_a_key_is_not_replaced_by_another_request(directory):
    first = requested(directory)
    key = (directory / "key.pem").read_bytes()
    again = witness("request", directory, f"--url={URL}")
    assert again.status == 1
    assert "File exists" in again.said
    assert (directory / "request.pem").read_bytes() == first
    assert (directory / "key.pem").read_bytes() == key


def test_what_does_not_fit_is_refused_and_nothing_is_written(directory, authority):
    request = requested(directory)
    sound = authority.sign(request)
    public = x509.load_pem_x509_csr(request).public_key()
    nameless = authority.certify(public, name("witness")).public_bytes(Encoding.PEM)
    other = authority.sign(requested(directory.parent / "other"))
    refusals = [
        (configured(directory, nameless, authority.pem), "lacks a name or a usage"),
        (configured(directory, other, authority.pem), "not for the key"),
        (configured(directory, sound, Authority("another").pem), "not signed by the cluster CA"),
        (configured(directory, sound, sound), "not that of a certificate authority"),
        (configured(directory, b"nothing", authority.pem), "no valid certificate"),
        (configured(directory, sound, authority.pem, more=["--etcd=/usr/bin/etcd %S"]), "unit"),
        (configured(directory, sound, authority.pem, url="https://x/"), "not the URL"),
    ]
    hostile = [{**HSMS[0], "name": "a\nExecStartPre=/bin/sh"}]
    refusals.append((configured(directory, sound, authority.pem, members=hostile), "name"))
    without = [{**HSMS[0], "name": ""}]
    refusals.append((configured(directory, sound, authority.pem, members=without), "not what"))
    for done, reason in refusals:
        assert done.status in {1, 2, 5}, done
        assert reason in done.said
    assert {path.name for path in directory.iterdir()} == {"key.pem", "request.pem"}


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze")
def test_systemd_counts_the_unit_among_those_that_are_least_exposed(directory, authority):
    configured(directory, authority.sign(requested(directory)), authority.pem)
    unit = directory / "keystead-witness.service"
    command = ["systemd-analyze", "security", "--offline=true", unit]
    judged = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    (exposure,) = re.findall(r"Overall exposure level for \S+: ([0-9.]+)", judged.stdout)
    assert float(exposure) <= 2.0, judged.stdout
    assert "ignoring" not in judged.stderr


@pytest.mark.parametrize(
    "wrong",
    [{"name": 5}, {"name": ["a"]}, {"id": 7}, {"urls": "https://192.0.2.1:2380"}, {"urls": [7]}],
)
def test_a_list_of_members_with_other_types_is_refused(directory, authority, wrong):
    certificate = authority.sign(requested(directory))
    done = configured(directory, certificate, authority.pem, members=[{**HSMS[0], **wrong}])
    assert (done.status, "not what 'keystead cluster add' writes" in done.said) == (2, True), done


@pytest.mark.parametrize("program", ["+/usr/bin/etcd", "-/usr/bin/etcd", "etcd"])
def test_a_program_that_systemd_would_start_in_another_way_is_refused(
    directory, authority, program
):
    certificate = authority.sign(requested(directory))
    done = configured(directory, certificate, authority.pem, more=[f"--etcd={program}"])
    assert (done.status, "not an absolute path" in done.said) == (2, True), done
    assert not (directory / "keystead-witness.service").exists()
