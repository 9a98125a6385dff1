"""The identity of this device, which signs attestations. It exists while the HSM is Operational.

The private key is sealed under the domain key and again under the device key. So it opens on this
device only, and only for those who can open the keys that it speaks for. It is in no backup.
"""

import asyncio
from typing import Final, NamedTuple

from keystead.algorithms import PrivateKey
from keystead.certificates.chains import normalized_chain
from keystead.certificates.csr import SubjectName, make_csr
from keystead.certificates.device_identity import load_identity, make_identity
from keystead.certificates.tls_identity import require_chain_of
from keystead.errors import DecryptionFailed
from keystead.model.secret import Secret
from keystead.operations.caller_context import CallerContext
from keystead.operations.session import Session
from keystead.sealing import envelope
from keystead.sealing.domain_key import StoreLabel, brief_store_key
from keystead.storage.local import LocalStore
from keystead.storage.settings import IDENTITY_CHAIN, IDENTITY_KEY

_PURPOSE: Final = "identity"


class CertifiedKey(NamedTuple):
    """The key, and its certificate with those of its issuers (PEM)."""

    private: PrivateKey
    chain: bytes


class DeviceIdentity:
    """Keeps the identity. It is made when it is first asked for."""

    def __init__(self, local: LocalStore) -> None:
        self._local: Final = local
        self._changing: Final = asyncio.Lock()

    async def get(self, session: Session) -> CertifiedKey:
        """Return the identity. Makes one if there is none, or one of another domain key only."""
        async with self._changing:
            return await self._get(session)

    async def csr(self, context: CallerContext, subject: SubjectName) -> bytes:
        """Return a certificate signing request (PEM) of the identity's key."""
        return make_csr((await self.get(context.session)).private, subject)

    async def set_chain(self, context: CallerContext, pem: bytes) -> None:
        """Show this chain: the certificate of the identity's key, then each one's issuer.

        Raises InvalidInput if the chain is not that.
        """
        chain = normalized_chain(pem)
        async with self._changing:
            require_chain_of((await self._get(context.session)).private, chain)
            change = self._local.settings.put(IDENTITY_CHAIN, chain)
            await context.session.store.commit([change])
        context.note("identity certificate changed")

    async def _get(self, session: Session) -> CertifiedKey:
        settings = self._local.settings
        sealed, chain = await settings.get(IDENTITY_KEY), await settings.get(IDENTITY_CHAIN)
        with brief_store_key(session.require_domain_key(), StoreLabel.IDENTITY) as sealing_key:
            if sealed is None or chain is None:
                return await self._make(session, sealing_key)
            try:
                key = Secret(envelope.unseal(sealing_key, _PURPOSE, sealed))
            except DecryptionFailed:  # It belongs to the domain key before a restore.
                return await self._make(session, sealing_key)
            return CertifiedKey(load_identity(key), chain)

    async def _make(self, session: Session, sealing_key: Secret) -> CertifiedKey:
        settings = self._local.settings
        key, chain = make_identity(self._local.device_id)
        sealed = envelope.seal(sealing_key, _PURPOSE, key.reveal())
        await session.store.commit(
            [settings.put(IDENTITY_KEY, sealed), settings.put(IDENTITY_CHAIN, chain)]
        )
        session.note(None, "device identity made")
        return CertifiedKey(load_identity(key), chain)
