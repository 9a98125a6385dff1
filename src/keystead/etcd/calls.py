"""The methods of etcd's API that Keystead calls, a row each."""

from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from keystead.etcd import messages as m
from keystead.etcd.protobuf import ProtobufMessage

Request = TypeVar("Request", bound=ProtobufMessage)
Response = TypeVar("Response", bound=ProtobufMessage)


@dataclass(frozen=True, slots=True)
class Method(Generic[Request, Response]):
    """One method. With `needs_leader`, a member that knows no leader refuses it at once.

    Without that, a member which is cut off from the others lets the caller wait for seconds.
    """

    path: str
    request: type[Request]
    response: type[Response]
    needs_leader: bool = True


RANGE: Final = Method("/etcdserverpb.KV/Range", m.RangeRequest, m.RangeResponse)
TXN: Final = Method("/etcdserverpb.KV/Txn", m.TxnRequest, m.TxnResponse)
COMPACT: Final = Method("/etcdserverpb.KV/Compact", m.CompactionRequest, m.CompactionResponse)

MEMBER_LIST: Final = Method(
    "/etcdserverpb.Cluster/MemberList", m.MemberListRequest, m.MembersResponse, needs_leader=False
)
MEMBER_ADD: Final = Method(
    "/etcdserverpb.Cluster/MemberAdd", m.MemberAddRequest, m.MemberAddResponse
)
MEMBER_PROMOTE: Final = Method(
    "/etcdserverpb.Cluster/MemberPromote", m.MemberRequest, m.MembersResponse
)
MEMBER_REMOVE: Final = Method(
    "/etcdserverpb.Cluster/MemberRemove", m.MemberRequest, m.MembersResponse
)
MEMBER_UPDATE: Final = Method(
    "/etcdserverpb.Cluster/MemberUpdate", m.MemberUpdateRequest, m.MembersResponse
)

STATUS: Final = Method(
    "/etcdserverpb.Maintenance/Status", m.StatusRequest, m.StatusResponse, needs_leader=False
)

# Methods with streams: these are opened, and not called.
# A watch outlives elections, so it does not need a leader.
WATCH: Final = Method(
    "/etcdserverpb.Watch/Watch", m.WatchRequest, m.WatchResponse, needs_leader=False
)
