"""Hands the TLS identity of this HSM to its etcd, which serves the other members with it.

It is in two anonymous files, which the supervisor has made and gives to the core and to etcd. They
are never on a disk. The core alone writes them, and etcd reads them at each handshake.
"""

import hashlib
import os
import socket
from typing import Final

import msgspec

from keystead.model.secret import Secret
from keystead.operations.tls import TlsIdentity
from keystead.storage.key_value_store import KeyValueStore
from keystead.storage.local import LocalStore
from keystead.storage.settings import CLUSTER_CA, TLS_CHAIN, TLS_KEY
from keystead.wire import control
from keystead.wire.control_messages import ServePeers

PEER_FILE_BYTES: Final = 2 * 1024 * 1024
"""The largest file that the core may write, if it has such files."""


class PeerTls(msgspec.Struct, frozen=True):
    """The descriptors of the anonymous files, and the way to the supervisor."""

    identity: int
    authority: int
    supervisor: socket.socket

    async def serve_stored(self, store: KeyValueStore, device_key: Secret) -> None:
        """Let etcd start with the identity in the records of this device.

        Nothing else can be read before etcd has started.
        """
        settings = LocalStore(store, device_key).settings
        key, chain = await settings.get(TLS_KEY), await settings.get(TLS_CHAIN)
        authority = await settings.get(CLUSTER_CA)
        if key is None or chain is None:
            self._start("")
        else:
            self.serve(TlsIdentity(key, chain), authority)

    def serve(self, identity: TlsIdentity, authority: bytes | None) -> None:
        """Have etcd use this identity, and trust members whose certificates `authority` signed."""
        self._start(self.write(identity, authority))

    def write(self, identity: TlsIdentity, authority: bytes | None) -> str:
        """Replace the content of the files. Return a digest of the authority, "" for none."""
        _replace(self.identity, identity.key.reveal() + b"\n" + identity.chain)
        _replace(self.authority, authority or b"")
        return "" if authority is None else hashlib.sha256(authority).hexdigest()

    def _start(self, authority: str) -> None:
        control.send(self.supervisor, ServePeers(authority))


def _replace(descriptor: int, content: bytes) -> None:
    _ = os.pwrite(descriptor, content, 0)
    os.ftruncate(descriptor, len(content))
