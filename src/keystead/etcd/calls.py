"""The calls of etcd's API that Keystead makes, a row each."""

from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from keystead.etcd import messages as m
from keystead.etcd.protobuf import Message

Request = TypeVar("Request", bound=Message)
Answer = TypeVar("Answer", bound=Message)


@dataclass(frozen=True, slots=True)
class Call(Generic[Request, Answer]):
    """One call. With `needs_leader`, a member that knows no leader refuses it at once.

    Without that, a member which is cut off from the others lets the caller wait for seconds.
    """

    path: str
    request: type[Request]
    answer: type[Answer]
    needs_leader: bool = True


RANGE: Final = Call("/etcdserverpb.KV/Range", m.RangeRequest, m.RangeResponse)
LOCAL_RANGE: Final = Call(
    "/etcdserverpb.KV/Range", m.RangeRequest, m.RangeResponse, needs_leader=False
)
PUT: Final = Call("/etcdserverpb.KV/Put", m.PutRequest, m.PutResponse)
TXN: Final = Call("/etcdserverpb.KV/Txn", m.TxnRequest, m.TxnResponse)
DELETE_RANGE: Final = Call(
    "/etcdserverpb.KV/DeleteRange", m.DeleteRangeRequest, m.DeleteRangeResponse
)
COMPACT: Final = Call("/etcdserverpb.KV/Compact", m.CompactionRequest, m.HeaderResponse)

MEMBER_LIST: Final = Call(
    "/etcdserverpb.Cluster/MemberList", m.MemberListRequest, m.MembersResponse, needs_leader=False
)
MEMBER_ADD: Final = Call("/etcdserverpb.Cluster/MemberAdd", m.MemberAddRequest, m.MemberAddResponse)
MEMBER_PROMOTE: Final = Call(
    "/etcdserverpb.Cluster/MemberPromote", m.MemberRequest, m.MembersResponse
)
MEMBER_REMOVE: Final = Call(
    "/etcdserverpb.Cluster/MemberRemove", m.MemberRequest, m.MembersResponse
)
MEMBER_UPDATE: Final = Call(
    "/etcdserverpb.Cluster/MemberUpdate", m.MemberUpdateRequest, m.MembersResponse
)

STATUS: Final = Call(
    "/etcdserverpb.Maintenance/Status", m.StatusRequest, m.StatusResponse, needs_leader=False
)
ALARM: Final = Call("/etcdserverpb.Maintenance/Alarm", m.AlarmRequest, m.AlarmResponse)
DEFRAGMENT: Final = Call(
    "/etcdserverpb.Maintenance/Defragment",
    m.DefragmentRequest,
    m.HeaderResponse,
    needs_leader=False,
)
MOVE_LEADER: Final = Call(
    "/etcdserverpb.Maintenance/MoveLeader", m.MoveLeaderRequest, m.HeaderResponse
)

# Calls with streams: these are opened, and not called.
# A watch outlives elections, so it does not need a leader.
WATCH: Final = Call(
    "/etcdserverpb.Watch/Watch", m.WatchRequest, m.WatchResponse, needs_leader=False
)
SNAPSHOT: Final = Call(
    "/etcdserverpb.Maintenance/Snapshot",
    m.SnapshotRequest,
    m.SnapshotResponse,
    needs_leader=False,
)
