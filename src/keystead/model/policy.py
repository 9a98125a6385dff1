"""The policy of a key: rules that each of its uses must satisfy.

This module is pure: `refusal` gets a policy, a use and what was counted, and returns the first rule
that refuses the use.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from math import ceil, inf
from typing import Annotated, Final, NamedTuple

import msgspec

from keystead.errors import InvalidInput
from keystead.model.ids import NamespaceId, UserId, parse_tag
from keystead.model.timestamps import format_timestamp, parse_timestamp

MINUTE_SECONDS: Final = 60
MAX_CLIENTS: Final = 100
MAX_MODES: Final = 100
MAX_APPROVERS: Final = 100
_REMEMBERED: Final = 8
"""The modes and addresses that a policy remembers, in a kilobyte."""
MAX_USES: Final = 2**53 - 1
"""The greatest whole number that every JSON reader keeps exactly."""
MAX_PER_MINUTE: Final = 10_000_000
_NO_APPROVAL: Final = "The key's policy asks for an approval of this use, and none is granted."


class TaggedApprovers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Every Operator that has this tag."""

    tag: str


class ApprovalRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """How many of which users must approve before an Operator may use the key."""

    required: Annotated[int, msgspec.Meta(ge=1, le=16)]
    approvers: (
        Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=MAX_APPROVERS)]
        | TaggedApprovers
    )
    valid_seconds: Annotated[int, msgspec.Meta(ge=60, le=86_400)]
    uses: Annotated[int, msgspec.Meta(ge=1, le=100_000)]

    def approves(self, user_id: UserId, tags: frozenset[str]) -> bool:
        """Whether a user with these tags is an approver."""
        if isinstance(self.approvers, TaggedApprovers):
            return self.approvers.tag in tags
        return str(user_id) in self.approvers


class PolicyDocument(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, rename="camel"
):
    """The policy of a key as JSON. A missing field stands for no rule."""

    enabled: bool = True
    not_before: str | None = None
    not_after: str | None = None
    max_uses: Annotated[int, msgspec.Meta(ge=1, le=MAX_USES)] | None = None
    max_per_minute: Annotated[int, msgspec.Meta(ge=1, le=MAX_PER_MINUTE)] | None = None
    clients: Annotated[tuple[str, ...], msgspec.Meta(max_length=MAX_CLIENTS)] | None = None
    modes: Annotated[tuple[str, ...], msgspec.Meta(max_length=MAX_MODES)] | None = None
    approvals: ApprovalRule | None = None
    frozen: bool = False


class _Network(NamedTuple):
    """The addresses of one IP version that have the bits `number` under `mask`."""

    version: int
    number: int
    mask: int


MOST_RETRY_SECONDS: Final = 86_400
"""The longest wait that a refusal names. Clients sleep for it, and some cannot sleep for years."""


class Refusal(NamedTuple):
    """The rule that refuses a use."""

    rule: str
    """The field of the policy."""
    message: str
    retry_after_seconds: int | None = None
    """When the rule would allow the use, if that is only a matter of time."""


@dataclass(frozen=True, slots=True)
class Policy:
    """A valid policy, ready to be asked. Only `parse_policy` makes one."""

    document: PolicyDocument
    not_before: float = field(compare=False)
    """Unix seconds; -inf without the rule."""
    not_after: float = field(compare=False)
    """Unix seconds; inf without the rule."""
    networks: tuple[_Network, ...] | None = field(compare=False)
    """Those of `clients`."""
    allowed: set[tuple[str, str]] = field(init=False, compare=False, default_factory=set)
    """Some modes and addresses that no rule refuses at all times, because few clients use a key."""
    has_times: bool = field(init=False, compare=False)
    """Whether the time of a use matters."""
    needs_approval: bool = field(init=False, compare=False)

    def __post_init__(self) -> None:
        """Note what each use asks, once."""
        has_times = self.not_before != -inf or self.not_after != inf
        object.__setattr__(self, "has_times", has_times)
        object.__setattr__(self, "needs_approval", self.document.approvals is not None)

    @property
    def counts_uses(self) -> bool:
        """Whether a rule needs to know how often the key was used."""
        return self.document.max_uses is not None or self.document.max_per_minute is not None

    def texts(self) -> list[str]:
        """Return the texts of its lists, which take nearly all of its memory."""
        document = self.document
        texts = [*(document.clients or ()), *(document.modes or ())]
        rule = document.approvals
        if rule is not None and not isinstance(rule.approvers, TaggedApprovers):
            texts.extend(rule.approvers)
        return texts


class PolicyUse(msgspec.Struct, frozen=True):
    """What a policy looks at in the use of a key."""

    mode: str
    uses: int
    """The number of messages."""
    address: str
    """The client's IP address."""
    now: Callable[[], float]
    """Unix seconds."""


def parse_policy(document: PolicyDocument) -> Policy:
    """Return the policy of a document, whose lists are sorted then.

    Raises InvalidInput, which says what is wrong.
    """
    not_before = _time("notBefore", document.not_before)
    not_after = _time("notAfter", document.not_after)
    if not_before is not None and not_after is not None and not_after <= not_before:
        raise InvalidInput("notAfter must be later than notBefore.")
    networks = None
    if document.clients is not None:
        networks = tuple(sorted({_parse_network(text) for text in document.clients}, key=str))
    normal = msgspec.structs.replace(
        document,
        not_before=None if not_before is None else format_timestamp(not_before),
        not_after=None if not_after is None else format_timestamp(not_after),
        clients=None if networks is None else tuple(map(str, networks)),
        modes=None if document.modes is None else tuple(sorted(set(document.modes))),
        approvals=None if document.approvals is None else _checked(document.approvals),
    )
    numbers = None if networks is None else tuple(map(_as_number, networks))
    earliest = -inf if not_before is None else not_before
    latest = inf if not_after is None else not_after
    return Policy(normal, earliest, latest, numbers)


def digest(policy: Policy) -> bytes:
    """Return the SHA-256 of the policy as canonical JSON: sorted names and lists, no spaces.

    Fields without a rule are left out, and all texts are ASCII.
    """
    return hashlib.sha256(msgspec.json.encode(policy.document, order="sorted")).digest()


def require_approvers_of(policy: Policy, namespace: NamespaceId | None) -> None:
    """Raise InvalidInput if the policy of a key in `namespace` names approvers of another."""
    rule = policy.document.approvals
    if rule is None or isinstance(rule.approvers, TaggedApprovers):
        return
    for name in rule.approvers:
        if UserId.parse(name).namespace != namespace:
            raise InvalidInput(f"The approver {name} is not in the namespace of the key.")


def refusal(
    policy: Policy,
    use: PolicyUse,
    uses_left: float = inf,
    minute_wait: float | None = 0.0,
    approved: float = inf,
) -> Refusal | None:
    """Return the first rule that refuses the use, or None if all allow it.

    `uses_left` are the uses that `maxUses` still allows, `minute_wait` the seconds until
    `maxPerMinute` allows the use, or None if it has more uses than that limit, and `approved` the
    uses that a granted approval allows the caller. Each allows every use if it is left out.
    """
    # Each use of a key with a policy comes here, so one that is allowed calls little.
    if (use.mode, use.address) not in policy.allowed:
        found = _standing_refusal(policy, use.mode, use.address)
        if found is not None:
            return found
    if policy.has_times and not policy.not_before <= (now := use.now()) <= policy.not_after:
        return _outside(policy, now)
    document = policy.document
    if document.approvals is not None and approved < use.uses:
        return Refusal("approvals", _NO_APPROVAL)
    if document.max_uses is not None and uses_left < use.uses:
        return Refusal("maxUses", "The key's policy allows no more uses: maxUses is used up.")
    if document.max_per_minute is not None and minute_wait != 0:
        return _too_often(document.max_per_minute, minute_wait)
    return None


def _standing_refusal(policy: Policy, mode: str, address: str) -> Refusal | None:
    """Return the first rule that refuses a mode from an address at any time.

    They are remembered if there is none.
    """
    document = policy.document
    if not document.enabled:
        return Refusal("enabled", "The key's policy forbids every use: enabled is false.")
    if policy.networks is not None and not _contains(policy.networks, address):
        return Refusal("clients", "The key's policy forbids uses from this address: clients.")
    if document.modes is not None and mode not in document.modes:
        return Refusal("modes", "The key's policy forbids this mode: modes.")
    if len(policy.allowed) >= _REMEMBERED:
        policy.allowed.clear()
    policy.allowed.add((mode, address))
    return None


def _outside(policy: Policy, now: float) -> Refusal:
    if now > policy.not_after:
        return Refusal("notAfter", "The key's policy forbids a use after notAfter.")
    wait = ceil(min(policy.not_before - now, MOST_RETRY_SECONDS))
    return Refusal("notBefore", "The key's policy forbids a use before notBefore.", wait)


def _too_often(limit: int, wait: float | None) -> Refusal:
    if wait is None:
        message = f"The request has more uses than the key's policy allows in a minute: {limit}."
        return Refusal("maxPerMinute", message)
    message = f"The key's policy allows no more uses now: maxPerMinute is {limit}."
    return Refusal("maxPerMinute", message, ceil(wait))


def _contains(networks: tuple[_Network, ...], text: str) -> bool:
    address = _parse_address(text)
    if address is None:
        return False
    version, number = address
    return any(
        version == network_version and number & mask == network
        for network_version, network, mask in networks
    )


def _parse_address(text: str) -> tuple[int, int] | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.version, int(address)


def _time(name: str, text: str | None) -> float | None:
    if text is None:
        return None
    if text[10:11] != "T" or not text.endswith("Z"):
        raise InvalidInput(f"{name}: expected RFC 3339 with T and Z, as 2018-10-30T11:20:50Z.")
    try:
        return parse_timestamp(text)
    except InvalidInput as error:
        raise InvalidInput(f"{name}: {error.message}") from None


def _parse_network(text: str) -> IPv4Network | IPv6Network:
    try:
        network = ip_network(text)
    except ValueError:
        raise InvalidInput(
            f"clients: {text[:64]!a} is not a network such as 192.0.2.0/24 or 2001:db8::/32, "
            "with no bits set beyond the prefix."
        ) from None
    if isinstance(network, IPv6Network) and network.network_address.ipv4_mapped is not None:
        raise InvalidInput("clients: write IPv4 networks as such, not mapped into IPv6.")
    if "%" in str(network):
        raise InvalidInput("clients: a network has no zone.")
    return network


def _as_number(network: IPv4Network | IPv6Network) -> _Network:
    return _Network(network.version, int(network.network_address), int(network.netmask))


def _checked(rule: ApprovalRule) -> ApprovalRule:
    if isinstance(rule.approvers, TaggedApprovers):
        _ = parse_tag(rule.approvers.tag)
        return rule
    approvers = tuple(sorted({str(UserId.parse(text)) for text in rule.approvers}))
    if len(approvers) < rule.required:
        raise InvalidInput("approvals: there are fewer approvers than required.")
    return msgspec.structs.replace(rule, approvers=approvers)
