"""The platform's part in joining a cluster: it waits for the promotion, and keeps what follows.

    joined.records   changes of this device's records, which the first start as a member makes

The file counts only if the directory of the member is there: that is renamed last.
"""

import asyncio
from pathlib import Path
from typing import Final

import msgspec

from keystead.deadlines import within
from keystead.etcd import calls
from keystead.etcd.client import EtcdClient
from keystead.etcd.errors import EtcdError
from keystead.etcd.messages import RangeRequest, StatusRequest
from keystead.platform import durable
from keystead.wire.cluster_messages import MembersAnswer
from keystead.wire.platform_messages import JoinCluster, Write

CONTACT_SECONDS: Final = 30.0
"""How long the etcd may take until it knows the leader of the cluster, as with NetHSM."""
_POLL_SECONDS: Final = 0.1
_NAME: Final = "joined.records"


class JoiningService:
    """Waits for the etcd in `socket_path`, and keeps records in the data directory."""

    def __init__(self, data: Path, socket_path: Path) -> None:
        self._data = data
        self._socket_path = socket_path

    async def answer(self, question: JoinCluster) -> MembersAnswer:
        """Return the reply, after another member has promoted this one. Errors are a reply too."""
        client = EtcdClient(str(self._socket_path))
        try:
            await within(CONTACT_SECONDS, _leader(client))
            await _promotion(client)
            durable.create(self._data / _NAME, msgspec.msgpack.encode(question.writes))
        except TimeoutError:
            reason = (
                f"The cluster was not reached within {CONTACT_SECONDS:g} s. The logs of this HSM "
                "and of the members say why."
            )
        except EtcdError as error:
            reason = f"The cluster has not taken this HSM: {error}"
        except OSError as error:
            reason = f"The records of this HSM cannot be written: {error.strerror}."
        else:
            return MembersAnswer(question.id)
        finally:
            await client.close()
        return MembersAnswer(question.id, refusal="input", message=reason)


async def _leader(client: EtcdClient) -> None:
    while True:
        try:
            if (await client.call(calls.STATUS, StatusRequest())).leader:
                return
        except EtcdError:  # It has not started yet.
            pass
        await asyncio.sleep(_POLL_SECONDS)


async def _promotion(client: EtcdClient) -> None:
    """Return once this member is a full one. Raises EtcdError if its etcd ends before."""
    while True:
        status = await client.call(calls.STATUS, StatusRequest())
        if not status.is_learner:
            break
        await asyncio.sleep(_POLL_SECONDS)
    await client.call(calls.RANGE, RangeRequest(b"\0"), seconds=CONTACT_SECONDS)


def joined(data: Path) -> list[Write]:
    """Return the changes that a join has left, none if it has left none."""
    path = data / _NAME
    return msgspec.msgpack.decode(path.read_bytes(), type=list[Write]) if path.exists() else []


def forget_joined(data: Path) -> None:
    """Remove what a join has left: its changes are made, or it has not come to its end."""
    durable.remove(data / _NAME)
