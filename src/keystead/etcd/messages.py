"""The messages of etcd's API, version 3: those that Keystead sends and understands.

The source is etcd's rpc.proto. Fields that Keystead does not use are left out.
"""

from typing import Annotated

from keystead.etcd.protobuf import ProtobufMessage

# Comparisons in a transaction.
EQUAL = 0
MOD = 2


class Header(ProtobufMessage, frozen=True):
    """About the member that answers, and the state that it answers from."""

    cluster_id: Annotated[int, 1] = 0
    member_id: Annotated[int, 2] = 0
    revision: Annotated[int, 3] = 0


class KeyValue(ProtobufMessage, frozen=True):
    """A record, or the path and revision of a deletion in an event."""

    key: Annotated[bytes, 1] = b""
    mod_revision: Annotated[int, 3] = 0
    value: Annotated[bytes, 5] = b""


class RangeRequest(ProtobufMessage, frozen=True):
    """The records in [key, range_end), or the one at `key`."""

    key: Annotated[bytes, 1] = b""
    range_end: Annotated[bytes, 2] = b""
    limit: Annotated[int, 3] = 0
    revision: Annotated[int, 4] = 0
    keys_only: Annotated[bool, 8] = False
    count_only: Annotated[bool, 9] = False


class RangeResponse(ProtobufMessage, frozen=True):
    """Records in order. `more` is set if the limit cut some off."""

    header: Annotated[Header, 1] = Header()
    kvs: Annotated[tuple[KeyValue, ...], 2] = ()
    more: Annotated[bool, 3] = False
    count: Annotated[int, 4] = 0


class PutRequest(ProtobufMessage, frozen=True):
    """One record to write."""

    key: Annotated[bytes, 1] = b""
    value: Annotated[bytes, 2] = b""


class DeleteRangeRequest(ProtobufMessage, frozen=True):
    """The records in [key, range_end), or the one at `key`, to delete."""

    key: Annotated[bytes, 1] = b""
    range_end: Annotated[bytes, 2] = b""


class Compare(ProtobufMessage, frozen=True):
    """A condition: the record at `key` has this revision, which is 0 without a record."""

    result: Annotated[int, 1] = EQUAL
    target: Annotated[int, 2] = MOD
    key: Annotated[bytes, 3] = b""
    mod_revision: Annotated[int | None, 6] = None


class RequestOp(ProtobufMessage, frozen=True):
    """One operation of a transaction: exactly one field is set."""

    request_range: Annotated[RangeRequest | None, 1] = None
    request_put: Annotated[PutRequest | None, 2] = None
    request_delete_range: Annotated[DeleteRangeRequest | None, 3] = None
    request_txn: Annotated["TxnRequest | None", 4] = None


class TxnRequest(ProtobufMessage, frozen=True):
    """If all of `compare` hold, `success` is done together, and otherwise `failure`."""

    compare: Annotated[tuple[Compare, ...], 1] = ()
    success: Annotated[tuple[RequestOp, ...], 2] = ()
    failure: Annotated[tuple[RequestOp, ...], 3] = ()


class InnerTxnResponse(ProtobufMessage, frozen=True):
    """Whether the conditions of a transaction inside of another held.

    There is one for each commit, and its `responses` would be most of the answer.
    """

    succeeded: Annotated[bool, 2] = False


class ResponseOp(ProtobufMessage, frozen=True):
    """The answer to one operation. Those to puts and deletions tell nothing more."""

    response_range: Annotated[RangeResponse | None, 1] = None
    response_txn: Annotated[InnerTxnResponse | None, 4] = None


class TxnResponse(ProtobufMessage, frozen=True):
    """Whether the conditions held, and the answers to what was done."""

    header: Annotated[Header, 1] = Header()
    succeeded: Annotated[bool, 2] = False
    responses: Annotated[tuple[ResponseOp, ...], 3] = ()


class CompactionRequest(ProtobufMessage, frozen=True):
    """Forget what records were before `revision`. What they were at it can still be read."""

    revision: Annotated[int, 1] = 0


class CompactionResponse(ProtobufMessage, frozen=True):
    """The revisions will be forgotten. They still take space for a while."""

    header: Annotated[Header, 1] = Header()


class WatchCreateRequest(ProtobufMessage, frozen=True):
    """A watch over [key, range_end), beginning with `start_revision`, or with the present for 0."""

    key: Annotated[bytes, 1] = b""
    range_end: Annotated[bytes, 2] = b""
    start_revision: Annotated[int, 3] = 0
    watch_id: Annotated[int, 7] = 0
    fragment: Annotated[bool, 8] = False


class WatchProgressRequest(ProtobufMessage, frozen=True):
    """A question for the revision that all watches of the stream have reached."""


class WatchRequest(ProtobufMessage, frozen=True):
    """What the client sends in a stream of watches: exactly one field is set."""

    create_request: Annotated[WatchCreateRequest | None, 1] = None
    progress_request: Annotated[WatchProgressRequest | None, 3] = None


class WatchEvent(ProtobufMessage, frozen=True):
    """A change or a deletion. Its type is of no interest."""

    kv: Annotated[KeyValue, 2] = KeyValue()


class WatchResponse(ProtobufMessage, frozen=True):
    """Events in order of their revisions. Without events and flags it says how far the watch is.

    `compact_revision` is set if the events from the start of the watch are no longer kept.
    """

    header: Annotated[Header, 1] = Header()
    watch_id: Annotated[int, 2] = 0
    created: Annotated[bool, 3] = False
    canceled: Annotated[bool, 4] = False
    compact_revision: Annotated[int, 5] = 0
    fragment: Annotated[bool, 7] = False
    events: Annotated[tuple[WatchEvent, ...], 11] = ()


class ListedMember(ProtobufMessage, frozen=True):
    """A member of the cluster. Its name is empty until it has started."""

    id: Annotated[int, 1] = 0
    name: Annotated[str, 2] = ""
    peer_urls: Annotated[tuple[str, ...], 3] = ()
    is_learner: Annotated[bool, 5] = False


class MemberListRequest(ProtobufMessage, frozen=True):
    """Without `linearizable`, the member answers by itself, also without a quorum."""

    linearizable: Annotated[bool, 1] = False


class MemberAddRequest(ProtobufMessage, frozen=True):
    """A member to add."""

    peer_urls: Annotated[tuple[str, ...], 1] = ()
    is_learner: Annotated[bool, 2] = False


class MemberRequest(ProtobufMessage, frozen=True):
    """A member to remove or to promote."""

    id: Annotated[int, 1] = 0


class MemberUpdateRequest(ProtobufMessage, frozen=True):
    """New URLs of a member. etcd does not check them: the caller must have."""

    id: Annotated[int, 1] = 0
    peer_urls: Annotated[tuple[str, ...], 2] = ()


class MembersResponse(ProtobufMessage, frozen=True):
    """All members, after a change or without one."""

    header: Annotated[Header, 1] = Header()
    members: Annotated[tuple[ListedMember, ...], 2] = ()


class MemberAddResponse(ProtobufMessage, frozen=True):
    """The new member, and all members."""

    header: Annotated[Header, 1] = Header()
    member: Annotated[ListedMember, 2] = ListedMember()
    members: Annotated[tuple[ListedMember, ...], 3] = ()


class StatusRequest(ProtobufMessage, frozen=True):
    """A question to the member itself. It answers also without a quorum."""


class StatusResponse(ProtobufMessage, frozen=True):
    """The state of the member. `leader` is 0 if it knows none."""

    header: Annotated[Header, 1] = Header()
    version: Annotated[str, 2] = ""
    db_size: Annotated[int, 3] = 0
    leader: Annotated[int, 4] = 0
    raft_index: Annotated[int, 5] = 0
    raft_applied_index: Annotated[int, 7] = 0
    errors: Annotated[tuple[str, ...], 8] = ()
    db_size_in_use: Annotated[int, 9] = 0
    is_learner: Annotated[bool, 10] = False
