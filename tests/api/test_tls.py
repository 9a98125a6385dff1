"""/config/tls without sockets: what is installed has been tried in a real handshake."""

import asyncio
import json
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_public_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from keystead.edge.tls import KeyMemory, try_out
from keystead.errors import InvalidInput, WrongState
from keystead.operations.tls import Tls, TlsIdentity
from keystead.storage.settings import CLUSTER_CA
from tests.support.authority import Authority, name, weak_rsa_key
from tests.support.core import ADMIN, Answer, Core, start_core

PEM = {"content-type": "application/x-pem-file"}
ROOT = Authority("root")
MIDDLE = Authority("middle", above=ROOT)


class Servers:
    """Serves TLS in this process: tries identities out for true, and remembers what it serves."""

    def __init__(self) -> None:
        self.served: list[TlsIdentity] = []

    async def try_out(self, identity: TlsIdentity) -> None:
        if refusal := try_out(identity.key.reveal(), identity.chain, KeyMemory()):
            raise InvalidInput(refusal)

    async def serve(self, identity: TlsIdentity) -> None:
        self.served.append(identity)


class TlsCore:
    """An Operational core with an own event loop, and short names for the requests below."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self.run = runner.run
        self.core: Core = self.run(start_core())
        self.run(self.core.provision())
        self.forget_changes()

    def forget_changes(self) -> None:
        self.servers = Servers()
        self.core.hsm.tls.servers = self.servers
        self.run(self.core.hsm.store.commit([self.core.hsm.local.settings.remove(CLUSTER_CA)]))

    def request(self, method: str, path: str, **options) -> Answer:
        options.setdefault("user", ADMIN)
        return self.run(self.core.request(method, f"/config/tls/{path}", **options))

    def generate(self, type_name: str, **more: int) -> Answer:
        return self.request("POST", "generate", json={"type": type_name, **more})

    def put(self, path: str, pem: bytes, **headers: str) -> Answer:
        return self.request("PUT", path, body=pem, headers=PEM | headers)

    def get(self, path: str) -> bytes:
        answer = self.request("GET", path)
        assert (answer.status, answer.headers["Content-Type"]) == (200, PEM["content-type"])
        return answer.body

    def csr(self, **more: object) -> bytes:
        answer = self.request("POST", "csr.pem", json={"commonName": "hsm.example", **more})
        assert (answer.status, answer.headers["Content-Type"]) == (200, PEM["content-type"])
        return answer.body

    def set_time(self, time: str) -> int:
        request = self.core.request("PUT", "/config/time", user=ADMIN, json={"time": time})
        return self.run(request).status

    def restarted(self) -> Core:
        return self.run(self.core.restarted())


@pytest.fixture(scope="module")
def shared() -> Iterator[TlsCore]:
    with asyncio.Runner() as runner:
        core = TlsCore(runner)
        yield core
        core.core.close()


@pytest.fixture
def tls(shared: TlsCore) -> TlsCore:
    """The core with some TLS identity, no cluster CA, and nothing served yet."""
    shared.forget_changes()
    return shared


# --- a new key -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("type_name", "more"),
    [
        ("RSA", {"length": 2048}),
        ("Curve25519", {}),
        ("EC_P256", {}),
        ("EC_P384", {"length": 128}),
        ("EC_P521", {}),
    ],
)
def test_a_new_key_is_served_and_kept(tls, type_name, more):
    before = tls.get("cert.pem"), tls.get("public.pem")
    assert tls.generate(type_name, **more).status == 204
    chain, public = tls.get("cert.pem"), tls.get("public.pem")
    assert chain != before[0]
    assert public != before[1]
    certificate = x509.load_pem_x509_certificate(chain)
    assert certificate.public_key() == load_pem_public_key(public)
    assert [one.chain for one in tls.servers.served] == [chain]
    assert tls.restarted().hsm.tls.identity.chain == chain


@pytest.mark.parametrize(
    ("type_name", "more", "message"),
    [
        ("BrainpoolP256", {}, "no shared cipher"),
        ("BrainpoolP384", {}, "no shared cipher"),
        ("BrainpoolP512", {}, "no shared cipher"),
        ("EC_P256K1", {}, "no shared cipher"),
        ("RSA", {"length": 1024}, "An RSA key of 1024 bits is too weak"),
        ("RSA", {"length": 2047}, "An RSA key of 2047 bits is too weak"),
        ("RSA", {}, "length"),
        ("RSA", {"length": 100_000}, "1024 to 8192 bits"),
        ("Generic", {"length": 256}, "Generic keys cannot sign"),
        ("DSA", {}, "Unknown key type"),
    ],
)
def test_a_key_that_cannot_be_served_is_refused_and_nothing_changes(tls, type_name, more, message):
    before = tls.get("cert.pem")
    answer = tls.generate(type_name, **more)
    assert answer.status == 400
    assert message in answer.message
    assert tls.get("cert.pem") == before
    assert tls.restarted().hsm.tls.identity.chain == before
    assert not tls.servers.served


def test_what_nobody_has_tried_is_not_installed(tls):
    fresh = tls.restarted()
    tls.core.hsm.tls.servers = fresh.hsm.tls.servers
    assert tls.generate("EC_P256").status == 412


def test_changes_at_the_same_time_leave_key_and_certificate_together(tls):
    async def both() -> None:
        await asyncio.gather(
            *(
                tls.core.request(
                    "POST", "/config/tls/generate", user=ADMIN, json={"type": type_name}
                )
                for type_name in ("EC_P256", "EC_P384", "Curve25519", "EC_P521") * 2
            )
        )

    tls.run(both())
    kept = tls.restarted().hsm.tls.identity
    assert kept.chain == tls.get("cert.pem") == tls.servers.served[-1].chain
    assert try_out(kept.key.reveal(), kept.chain, KeyMemory()) == ""
    assert len(tls.servers.served) == 8


def test_there_is_no_identity_before_it_is_loaded(tls):
    context = SimpleNamespace(store=tls.core.store, keygen_pool=tls.core.pools[0])
    with pytest.raises(WrongState):
        _ = Tls(context, tls.core.hsm.local).identity


# --- its certificate -----------------------------------------------------------------------------


def test_a_signed_certificate_is_shown_with_its_chain(tls):
    public = tls.get("public.pem")
    chain = MIDDLE.sign(tls.csr()) + MIDDLE.pem
    answer = tls.put("cert.pem", b"comment\n" + chain)
    assert (answer.status, answer.body) == (201, b"")
    assert tls.get("cert.pem") == chain
    assert tls.get("public.pem") == public
    assert tls.servers.served[-1].chain == chain
    assert tls.restarted().hsm.tls.identity.chain == chain


def test_a_request_asks_for_the_names_it_was_told(tls):
    request = x509.load_pem_x509_csr(
        tls.csr(organizationName="Keystead", subjectAltNames=["hsm.example", "IP:192.0.2.1"])
    )
    assert request.is_signature_valid
    assert request.subject.rfc4514_string() == "O=Keystead,CN=hsm.example"
    names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert [str(one.value) for one in names.value] == ["hsm.example", "192.0.2.1"]


def test_a_request_asks_for_both_uses_that_a_member_of_a_cluster_has(tls):
    request = x509.load_pem_x509_csr(tls.csr())
    uses = request.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    assert set(uses.value) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}


@pytest.mark.parametrize("json", [{}, {"commonName": ""}, {"commonName": "x", "serial": 1}])
def test_a_request_without_a_proper_name_is_refused(tls, json):
    assert tls.request("POST", "csr.pem", json=json).status == 400


def test_a_certificate_of_another_key_is_refused(tls):
    certificate = ROOT.sign(tls.csr())
    assert tls.generate("EC_P256").status == 204
    before = tls.get("cert.pem")
    answer = tls.put("cert.pem", certificate)
    assert answer.status == 400
    assert "not that of the private key" in answer.message
    assert tls.get("cert.pem") == before


def test_a_chain_with_a_weak_rsa_key_is_refused(tls):
    weak = Authority("weak", key=weak_rsa_key(2047))
    before = tls.get("cert.pem")
    answer = tls.put("cert.pem", weak.sign(tls.csr()) + weak.pem)
    assert answer.status == 400
    assert "An RSA key of 2047 bits is too weak" in answer.message
    assert tls.get("cert.pem") == before


def test_a_chain_out_of_order_is_refused(tls):
    answer = tls.put("cert.pem", MIDDLE.sign(tls.csr()) + ROOT.pem)
    assert answer.status == 400
    assert "Certificate 1 is not issued by certificate 2" in answer.message


@pytest.mark.parametrize("body", [b"", b"not a certificate", bytes(1024)])
def test_noise_is_no_certificate(tls, body):
    assert tls.put("cert.pem", body).status == 400
    assert tls.put("cluster-ca.pem", body).status == 400


@pytest.mark.parametrize("path", ["cert.pem", "cluster-ca.pem"])
@pytest.mark.parametrize("sent", [{"content-type": "application/json"}, {}])
def test_another_content_type_is_415(tls, path, sent):
    answer = tls.request("PUT", path, body=ROOT.pem, headers=sent)
    assert answer.status == 415


def test_a_change_is_conditional_on_the_tag_of_the_certificate(tls):
    tag = tls.request("GET", "cert.pem").headers["ETag"]
    first = ROOT.sign(tls.csr())
    assert tls.put("cert.pem", first, **{"if-match": tag}).status == 201
    assert tls.put("cert.pem", first, **{"if-match": tag}).status == 412


def test_the_public_key_answers_head(tls):
    answer = tls.request("HEAD", "public.pem")
    assert answer.status == 200
    assert tls.request("HEAD", "cert.pem").status == 405


# --- the cluster's authority ---------------------------------------------------------------------


def test_there_is_no_cluster_authority_at_first(tls):
    answer = tls.request("GET", "cluster-ca.pem")
    assert answer.status == 404
    assert answer.message == "The cluster CA has not been set."


def test_the_cluster_authority_must_have_signed_the_certificate(tls):
    assert tls.generate("EC_P256").status == 204
    assert tls.put("cluster-ca.pem", ROOT.pem).status == 412
    assert tls.request("GET", "cluster-ca.pem").status == 404
    assert tls.put("cert.pem", MIDDLE.sign(tls.csr()) + MIDDLE.pem).status == 201
    assert tls.put("cluster-ca.pem", ROOT.pem).status == 201
    assert tls.get("cluster-ca.pem") == ROOT.pem


def test_with_a_cluster_authority_only_its_certificates_are_taken(tls):
    assert tls.put("cert.pem", ROOT.sign(tls.csr())).status == 201
    assert tls.put("cluster-ca.pem", ROOT.pem).status == 201
    before = tls.get("cert.pem")
    answer = tls.put("cert.pem", Authority("another").sign(tls.csr()))
    assert answer.status == 412
    assert tls.get("cert.pem") == before
    made = tls.put("cert.pem", ROOT.sign(tls.csr()))
    assert (made.status, made.headers["Location"]) == (201, "/api/v1/config/tls/cert.pem")


def test_with_a_cluster_authority_no_self_signed_certificate_is_made(tls):
    assert tls.put("cert.pem", ROOT.sign(tls.csr())).status == 201
    assert tls.put("cluster-ca.pem", ROOT.pem).status == 201
    before = tls.get("cert.pem")
    assert tls.request("POST", "generate", json={"type": "EC_P256"}).status == 412
    assert tls.get("cert.pem") == before


def test_a_server_certificate_is_no_cluster_authority(tls):
    answer = tls.put("cluster-ca.pem", tls.get("cert.pem"))
    assert answer.status == 400
    assert "keyCertSign" in answer.message


def test_a_certificate_that_no_client_accepts_is_400_and_changes_nothing(tls):
    before = tls.get("cert.pem")
    public = load_pem_public_key(tls.get("public.pem"))
    client_only = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
    certificate = Authority("root").certify(public, name("server"), (client_only,))
    answer = tls.put("cert.pem", certificate.public_bytes(Encoding.PEM))
    assert (answer.status, answer.message) == (
        400,
        "The certificate's extendedKeyUsage lacks serverAuth.",
    )
    assert tls.get("cert.pem") == before


def test_a_cluster_authority_with_a_weak_key_is_refused(tls):
    weak = Authority("weak", key=weak_rsa_key(2047))
    answer = tls.put("cluster-ca.pem", weak.pem)
    assert answer.status == 400
    assert "An RSA key of 2047 bits is too weak" in answer.message


def test_a_certificate_is_judged_by_the_time_that_was_configured(tls):
    certificate = ROOT.sign(tls.csr())
    clock = tls.run(tls.core.request("GET", "/config/time", user=ADMIN))
    assert clock.status == 200
    assert tls.set_time("2019-12-31T00:00:00Z") == 204
    try:
        early = tls.put("cert.pem", certificate)
    finally:
        assert tls.set_time(json.loads(clock.body)["time"]) == 204
    assert early.status == 400
    assert "is not valid before 2020-01-01T00:00:00Z. It is 2019-12-31T" in early.message
    assert tls.put("cert.pem", certificate).status == 201
