"""Methods of etcd's API that tests call and Keystead does not, with their messages.

With them a test writes a record, compacts, raises an alarm:

    await client.call(PUT, PutRequest(b"/a", b"1"))
"""

from typing import Annotated, Final

from keystead.etcd.calls import Method
from keystead.etcd.messages import DeleteRangeRequest, Header, PutRequest
from keystead.etcd.protobuf import ProtobufMessage


class HeaderResponse(ProtobufMessage, frozen=True):
    """An answer of which only the header is read."""

    header: Annotated[Header, 1] = Header()


class DeleteRangeResponse(ProtobufMessage, frozen=True):
    """How many records were deleted."""

    deleted: Annotated[int, 2] = 0


class CompactionRequest(ProtobufMessage, frozen=True):
    """Forget the history before this revision. `physical` waits until it is done."""

    revision: Annotated[int, 1] = 0
    physical: Annotated[bool, 2] = False


class AlarmRequest(ProtobufMessage, frozen=True):
    """A question for all alarms (`action` 0), or one to raise (1) or to disarm (2)."""

    action: Annotated[int, 1] = 0
    member_id: Annotated[int, 2] = 0
    alarm: Annotated[int, 3] = 0


class AlarmMember(ProtobufMessage, frozen=True):
    """An alarm of one member."""

    member_id: Annotated[int, 1] = 0
    alarm: Annotated[int, 2] = 0


class AlarmResponse(ProtobufMessage, frozen=True):
    """The alarms."""

    alarms: Annotated[tuple[AlarmMember, ...], 2] = ()


class SnapshotRequest(ProtobufMessage, frozen=True):
    """A request for the whole database of the member."""


class SnapshotResponse(ProtobufMessage, frozen=True):
    """The next part of the database. The last 32 bytes of all are its SHA-256."""

    remaining_bytes: Annotated[int, 2] = 0
    blob: Annotated[bytes, 3] = b""


PUT: Final = Method("/etcdserverpb.KV/Put", PutRequest, HeaderResponse)
DELETE_RANGE: Final = Method(
    "/etcdserverpb.KV/DeleteRange", DeleteRangeRequest, DeleteRangeResponse
)
COMPACT: Final = Method("/etcdserverpb.KV/Compact", CompactionRequest, HeaderResponse)
ALARM: Final = Method("/etcdserverpb.Maintenance/Alarm", AlarmRequest, AlarmResponse)
SNAPSHOT: Final = Method(
    "/etcdserverpb.Maintenance/Snapshot", SnapshotRequest, SnapshotResponse, needs_leader=False
)
