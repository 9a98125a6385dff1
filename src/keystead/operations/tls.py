"""The TLS identity of this device: its key, its certificates, and the cluster's CA."""

import asyncio
from datetime import UTC, datetime
from typing import Final, Protocol

import msgspec

from keystead import algorithms
from keystead.algorithms import Algorithm, PrivateKey
from keystead.certificates.chains import (
    first_end,
    normalized_authority,
    normalized_chain,
    require_serving,
    require_signed_by,
    require_trusted,
)
from keystead.certificates.csr import SERVER_AND_CLIENT, SubjectName, make_csr
from keystead.certificates.tls_identity import (
    make_tls_identity,
    require_chain_of,
    require_strong_keys,
    self_signed_chain,
)
from keystead.errors import CorruptRecord, InvalidInput, NotFound, WrongState
from keystead.model.keys import PrivateMaterial
from keystead.model.secret import Secret
from keystead.operations.caller_context import CallerContext
from keystead.operations.session import CoreContext
from keystead.storage.local import LocalStore
from keystead.storage.settings import CLUSTER_CA, TLS_CHAIN, TLS_KEY


class TlsIdentity(msgspec.Struct, frozen=True, eq=False):
    """A private key (PKCS#8 PEM) and the certificates that clients see (PEM)."""

    key: Secret
    chain: bytes


class TlsServers(Protocol):
    """The processes that serve TLS."""

    async def try_out(self, identity: TlsIdentity) -> None:
        """Raise InvalidInput unless clients can connect to a server with this identity."""
        ...

    async def serve(self, identity: TlsIdentity) -> None:
        """Return once every new connection gets this identity. Open connections keep theirs."""
        ...


class TlsPeers(Protocol):
    """The etcd of this HSM, which serves the other members."""

    def serve(self, identity: TlsIdentity, authority: bytes | None) -> None:
        """Have it use this identity, and trust members whose certificates `authority` signed."""
        ...


class _NoPeers:
    """For an HSM that is in no cluster."""

    def serve(self, identity: TlsIdentity, authority: bytes | None) -> None:
        """Do nothing."""


class _NoServers:
    """Stands in until the process that runs the HSM sets the real servers."""

    async def try_out(self, _: TlsIdentity) -> None:
        """Raise WrongState: an identity that was not tried must not be installed."""
        raise WrongState("Nothing serves TLS yet.")

    async def serve(self, _: TlsIdentity) -> None:
        """Do nothing: there are no connections."""


class Tls:
    """Keeps the identity and changes it. A new one is tried out, then stored, then served."""

    def __init__(self, context: CoreContext, local: LocalStore) -> None:
        self._store: Final = context.store
        self._pool: Final = context.keygen_pool
        self._local: Final = local
        self._changing: Final = asyncio.Lock()
        self._identity: TlsIdentity | None = None
        self.servers: TlsServers = _NoServers()
        self.peers: TlsPeers = _NoPeers()

    @property
    def identity(self) -> TlsIdentity:
        """The identity that new connections get."""
        if self._identity is None:
            raise WrongState("The TLS identity is not loaded yet.")
        return self._identity

    async def load(self) -> None:
        """Read the key and the certificates. At the first start, make them."""
        settings = self._local.settings
        key, chain = await settings.get(TLS_KEY), await settings.get(TLS_CHAIN)
        if key is None or chain is None:
            key, chain = make_tls_identity(self._common_name)
            await self._keep(TlsIdentity(key, chain))
        self._identity = TlsIdentity(key, chain)

    async def follow(self) -> None:
        """Serve the stored identity, if it differs from the one served now."""
        async with self._changing:
            if self._identity is None:
                await self.load()
            elif await self._local.settings.get(TLS_CHAIN) != self.identity.chain:
                await self.load()
                await self._serve_peers()
                await self.servers.serve(self.identity)

    async def is_servable(self, identity: TlsIdentity) -> bool:
        """Whether clients could connect with a key and certificates that come from elsewhere."""
        try:
            require_chain_of(_private(identity), identity.chain)
            await self._try_out(identity)
        except (InvalidInput, CorruptRecord):
            return False
        return True

    async def generate(
        self, context: CallerContext, *, algorithm: Algorithm, length: int | None
    ) -> None:
        """Serve a new key with a self-signed certificate.

        Raises InvalidInput if the type or length cannot be served, and WrongState if a cluster CA
        is set, because it has not signed the new certificate.
        """
        await self._require_no_authority()

        def make() -> TlsIdentity:
            private = algorithm.generate(length)
            chain = self_signed_chain(private, self._common_name)
            return TlsIdentity(Secret(private.material().pem or b""), chain)

        made = await self._pool.run(make, party=context.party)
        async with self._changing:
            await self._require_no_authority()
            await self._install(made)
        context.note("TLS key generated", type=algorithm.name)

    async def set_chain(self, context: CallerContext, pem: bytes) -> None:
        """Serve this chain: the certificate of the key first, then each certificate's issuer.

        Raises InvalidInput if the chain is not that
        or clients would not accept it now, and WrongState if the cluster CA has not signed it.
        """
        chain = normalized_chain(pem)
        require_serving(chain, datetime.fromtimestamp(context.now(), UTC))
        async with self._changing:
            require_chain_of(self._private(), chain)
            authority = await self._local.settings.get(CLUSTER_CA)
            if authority is not None:
                require_signed_by(authority, chain)
            await self._install(TlsIdentity(self.identity.key, chain))
        context.note("TLS certificate changed")

    async def chain(self) -> bytes:
        """Return the stored certificates. If-Match needs the revision of their record."""
        return await self._local.settings.get(TLS_CHAIN) or self.identity.chain

    def public_pem(self) -> bytes:
        """Return the public half of the key as SubjectPublicKeyInfo in PEM."""
        return self._private().public_pem()

    async def csr(self, context: CallerContext, subject: SubjectName) -> bytes:
        """Return a certificate signing request (PEM) of the key, as a server and as a client.

        In a cluster, members are each other's clients.
        """
        private = self._private()
        return await self._pool.run(
            lambda: make_csr(private, subject, uses=SERVER_AND_CLIENT), party=context.party
        )

    async def cluster_ca(self) -> bytes:
        """Return the certificate (PEM) of the cluster's CA. Raises NotFound if none is set."""
        authority = await self._local.settings.get(CLUSTER_CA)
        if authority is None:
            raise NotFound("The cluster CA has not been set.")
        return authority

    async def set_cluster_ca(self, context: CallerContext, pem: bytes) -> None:
        """Store the certificate of the cluster's CA.

        Raises InvalidInput if it is none of an
        authority or clients would not accept it now, and WrongState if it has not signed the TLS
        certificate.
        """
        authority = normalized_authority(pem)
        require_trusted(authority, datetime.fromtimestamp(context.now(), UTC))
        require_strong_keys(authority)
        async with self._changing:
            require_signed_by(authority, self.identity.chain)
            await self._store.commit([self._local.settings.put(CLUSTER_CA, authority)])
            self.peers.serve(self.identity, authority)
        context.note("cluster CA changed")

    async def trusted_until(self) -> datetime | None:
        """Return when other members of a cluster stop to trust this one, or None without a CA."""
        authority = await self._local.settings.get(CLUSTER_CA)
        if authority is None:
            return None
        return min(first_end(authority), first_end(self.identity.chain))

    async def require_authority(self) -> None:
        """Raise WrongState unless members of a cluster could trust this HSM."""
        if await self._local.settings.get(CLUSTER_CA) is None:
            raise WrongState("The cluster CA is not set: members know each other by it.")

    async def _require_no_authority(self) -> None:
        if await self._local.settings.get(CLUSTER_CA) is not None:
            raise WrongState(
                "The cluster CA is set: only a certificate that it signed is accepted."
            )

    @property
    def _common_name(self) -> str:
        return f"keystead-{self._local.device_id.lower()}"

    def _private(self) -> PrivateKey:
        return _private(self.identity)

    async def _install(self, identity: TlsIdentity) -> None:
        """Try the identity before it is stored: with a bad one, nobody could reach the HSM."""
        await self._try_out(identity)
        await self._keep(identity)
        self._identity = identity
        await self._serve_peers()
        await self.servers.serve(identity)

    async def _serve_peers(self) -> None:
        authority = await self._local.settings.get(CLUSTER_CA)
        self.peers.serve(self.identity, authority)

    async def _try_out(self, identity: TlsIdentity) -> None:
        require_strong_keys(identity.chain)
        await self.servers.try_out(identity)

    async def _keep(self, identity: TlsIdentity) -> None:
        settings = self._local.settings
        await self._store.commit(
            [settings.put(TLS_KEY, identity.key), settings.put(TLS_CHAIN, identity.chain)]
        )


def _private(identity: TlsIdentity) -> PrivateKey:
    return algorithms.load(PrivateMaterial(pem=identity.key.reveal()))
