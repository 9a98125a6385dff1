"""The messages between the core and the platform."""

from typing import Annotated, Final, Literal

import msgspec

from keystead.wire.cluster_messages import ConfirmNow, MembersAnswer, MembersStep, News
from keystead.wire.message import Message

DEFAULT_KEY_CACHE: Final = 10_000


class FreshnessSettings(Message, frozen=True):
    """How a member of a cluster answers from memory.

    It may do so for `seconds` after a majority has confirmed that it knows all changes. With
    `strict`, each request waits for a confirmation of its own.
    """

    seconds: Annotated[float, msgspec.Meta(ge=0.1, le=60)] = 1.0
    strict: bool = False
    minority_seconds: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    """How long after the last confirmation it may go on with what changes nothing, if it is cut off
    from the majority. With 0 it refuses all."""


class CoreSettings(Message, frozen=True):
    """The part of the operator's configuration file that is for the core."""

    update_key_pem: bytes | None = None
    """The public key that verifies update images. With None, every image is refused."""
    pkcs1_padding_errors: bool = False
    """Whether decryption with PKCS#1 v1.5 reports a wrong padding, as NetHSM does."""
    open_shutdown: bool = False
    """Whether clients without credentials may shut down a Locked or Failed HSM, as with NetHSM."""
    common_passphrases: bool = False
    """Whether a new passphrase may be one of the most common passwords, as in NetHSM."""
    key_cache: int = DEFAULT_KEY_CACHE
    """The greatest number of decrypted keys kept in memory."""
    freshness: FreshnessSettings | None = None
    """None stands for an HSM that is in no cluster."""
    configures_machine: bool = False
    """Whether this is an appliance, which applies the settings of network and time server."""
    is_member: bool = False
    """Whether the shared records are in etcd."""
    can_join: bool = False
    """Whether this HSM has an etcd, and is in no cluster yet."""
    keeps_head: bool = False
    keeps_count: bool = False
    """Whether the journal's last checkpoint is also kept outside of the store."""
    attestation_key: bytes = b""
    """The public key of the TPM that signs quotes, SubjectPublicKeyInfo in DER. Empty without."""
    device_key_provider: str = "file"
    """The provider of the device key."""
    has_log_receiver: bool = True
    """Whether the platform passes the log on, also without an Administrator's syslog server."""
    warnings: tuple[str, ...] = ()
    """What `keystead doctor` warned of on this machine when the server started."""


UnattendedKey = Annotated[bytes, msgspec.Meta(max_length=32)]
"""The unattended key: 32 bytes while unattended boot is on, empty while it is off."""


class Hello(Message, tag=10, frozen=True):
    """platform → core, once and first: this machine's keys, which the platform then forgets.

    The device key has 32 bytes. `unattended_key` is None when there is no file of it.
    """

    device_key: bytes
    settings: CoreSettings
    unattended_key: UnattendedKey | None = b""


class Get(Message, tag=11, frozen=True):
    """core → platform: read one record, as it is now or as it was in a snapshot."""

    id: int
    path: str
    snapshot: int = 0


class List(Message, tag=12, frozen=True):
    """core → platform: read paths in [start, stop), in byte order, at most `limit`."""

    id: int
    start: str
    stop: str
    limit: int


class Scan(Message, tag=30, frozen=True):
    """core → platform: read the first records in [start, stop), in byte order.

    As many as fit in `limit_bytes`, and one at least, as they are now or were in a snapshot.
    """

    id: int
    start: str
    stop: str
    limit_bytes: int
    snapshot: int = 0


class ScannedRecord(Message, frozen=True):
    """One record that a Scan found."""

    path: str
    value: bytes
    revision: int


class Write(Message, frozen=True):
    """One change: `value` None deletes. `expected` is the revision the record must have.

    0 means that the record must not exist. None means any revision.
    """

    path: str
    value: bytes | None
    expected: int | None = None


class Condition(Message, frozen=True):
    """The revision that an unchanged record must have for a commit. 0 means no record."""

    path: str
    revision: int


class Commit(Message, tag=13, frozen=True):
    """core → platform: make all these changes durable, or none."""

    id: int
    writes: list[Write]
    conditions: list[Condition] = msgspec.field(default_factory=list)


class AskSnapshot(Message, tag=52, frozen=True):
    """core → platform: keep all records as they are now, or end the snapshot of this number."""

    id: int
    number: int = 0


class SnapshotKept(Message, tag=53, frozen=True):
    """platform → core: the number of the snapshot, which is more than 0, or that it is ended."""

    id: int
    number: int


class AimSyslog(Message, tag=18, frozen=True):
    """core → platform: the syslog server from now on, or no address to send nothing. No reply."""

    address: str | None
    port: int


class SyslogLine(Message, tag=19, frozen=True):
    """core → platform: one event for syslog, its severity as RFC 5424 numbers them. No reply."""

    severity: int
    text: str


class Found(Message, tag=14, frozen=True):
    """platform → core: the record read; `value` None when there is none."""

    id: int
    value: bytes | None
    revision: int


class Listed(Message, tag=15, frozen=True):
    """platform → core: the paths found."""

    id: int
    paths: list[str]


class Scanned(Message, tag=31, frozen=True):
    """platform → core: the records found; none only when there are none."""

    id: int
    records: list[ScannedRecord]


class Committed(Message, tag=16, frozen=True):
    """platform → core: the changes are durable; every record written has this revision now."""

    id: int
    revision: int


class StoreRefusal(Message, tag=17, frozen=True):
    """platform → core: the question failed, or its outcome is not known.

    `stale` is for an expected revision that did not hold, `unwritable` for a store that cannot
    write, as on a full disk, `too large` for one that takes less at once: nothing was changed.
    `unavailable` leaves that open. `snapshot` is for one that cannot be had, or not any longer.
    """

    id: int
    reason: Literal["stale", "unwritable", "too large", "unavailable", "snapshot"]
    message: str


SlotStepName = Literal["begin", "keep", "abandon", "cancel", "commit"]


class SlotStep(Message, tag=32, frozen=True):
    """core → platform: the next step with an update image.

    `begin` starts an image of at most `size` bytes, which SlotPart messages bring. `keep` puts the
    image in the place of the one before, `abandon` drops it. `cancel` removes the image that was
    kept, `commit` has it installed.
    """

    id: int
    step: SlotStepName
    size: int = 0


class SlotPart(Message, tag=33, frozen=True):
    """core → platform: the next part of the update image, already verified."""

    id: int
    data: bytes


class SlotAnswer(Message, tag=34, frozen=True):
    """platform → core: a SlotStep or SlotPart was done durably, or refused with nothing changed.

    `state` means that there is no image for the step, or that this machine cannot do it. `disk`
    means that the disk is full or broken.
    """

    id: int
    refusal: Literal["", "state", "disk"] = ""
    message: str = ""


class KeepUnattendedKey(Message, tag=36, frozen=True):
    """core → platform: the new content of the file with the unattended key."""

    id: int
    content: UnattendedKey


class UnattendedKeyKept(Message, tag=37, frozen=True):
    """platform → core: the content is durable, or `refusal` says why it may not be."""

    id: int
    refusal: str = ""


class AskFreeSpace(Message, tag=38, frozen=True):
    """core → platform: how much space the disk with the data directory has."""

    id: int


class FreeSpace(Message, tag=39, frozen=True):
    """platform → core: the bytes that the data directory can still take, None if it cannot tell."""

    id: int
    free_bytes: Annotated[int, msgspec.Meta(ge=0)] | None


class JoinCluster(Message, tag=46, frozen=True):
    """core → platform: wait until the etcd that was started to join a cluster is a full member.

    Then keep `writes`, changes of this device's records, for the next start. The reply is a
    MembersAnswer.
    """

    id: int
    writes: list[Write]


class AskQuote(Message, tag=50, frozen=True):
    """core → platform: have the TPM sign the values of its registers, with this nonce."""

    id: int
    nonce: Annotated[bytes, msgspec.Meta(max_length=32)]


class MachineQuote(Message, frozen=True):
    """What a TPM signed of its registers, and the firmware's log that explains their values."""

    quote: bytes
    """TPMS_ATTEST."""
    signature: bytes
    """TPMT_SIGNATURE."""
    bank: str
    pcr: dict[str, bytes]
    """The values of the registers, by number."""
    event_log: bytes = b""


class Quoted(Message, tag=51, frozen=True):
    """platform → core: the quote, or `refusal` says why there is none."""

    id: int
    quote: MachineQuote | None
    refusal: str = ""


StoreQuestion = Get | List | Scan | Commit | AskSnapshot
SlotQuestion = SlotStep | SlotPart
MembersQuestion = MembersStep | JoinCluster
Question = (
    StoreQuestion | SlotQuestion | KeepUnattendedKey | AskFreeSpace | MembersQuestion | AskQuote
)
CoreToPlatform = Question | AimSyslog | SyslogLine | ConfirmNow
PlatformToCore = (
    Hello
    | Found
    | Listed
    | Scanned
    | Committed
    | SnapshotKept
    | StoreRefusal
    | SlotAnswer
    | UnattendedKeyKept
    | FreeSpace
    | MembersAnswer
    | Quoted
    | News
)
