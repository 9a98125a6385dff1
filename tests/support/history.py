"""What clients asked of a cluster and were told, and whether that could have been one HSM.

Each name (of a key or a user) is a register: absent, or present in a version that is known by what
it signs or by its passphrase. Every version is given once.
"""

from dataclasses import dataclass, field

ABSENT = None
FOREVER = float("inf")


@dataclass(frozen=True, slots=True)
class Event:
    """One request. `kind` is create, delete or read; what came of it is in the other fields.

    A `version` that was read is the one that was found, or ABSENT. `is_certain` is False if the
    answer says nothing: then a change was made at any time after `began`, or never.
    """

    kind: str
    began: float
    ended: float
    version: str | None = ABSENT
    is_certain: bool = True


@dataclass
class History:
    """The events of each name. Times are of one monotonic clock."""

    events: dict[str, list[Event]] = field(default_factory=dict)

    def add(self, name: str, event: Event) -> None:
        self.events.setdefault(name, []).append(event)

    def faults(self, stale_seconds: float) -> list[str]:
        """Return what no HSM could have answered, if reads may be older by `stale_seconds`."""
        found = []
        for name, events in self.events.items():
            found += [f"{name}: {fault}" for fault in used_after_deletion(events)]
            if not is_linearizable(events, stale_seconds):
                lines = "\n".join(str(one) for one in sorted(events, key=lambda one: one.began))
                found.append(f"{name}: no order of these events explains the answers:\n{lines}")
        return found


def used_after_deletion(events: list[Event]) -> list[str]:
    """Return the uses of a version that began after a deletion was acknowledged everywhere.

    A deletion that began after the version was known ends it for good, because none comes again.
    """
    known = {}
    for event in events:
        if event.version is not None and event.is_certain and event.kind != "delete":
            known[event.version] = min(known.get(event.version, FOREVER), event.ended)
    faults = []
    for deletion in events:
        if deletion.kind != "delete" or not deletion.is_certain:
            continue
        faults += [
            f"version {event.version} was used {event.began - deletion.ended:.3f} s after the 204"
            for event in events
            if event.kind == "read"
            and event.version is not None
            and known[event.version] < deletion.began
            and event.began > deletion.ended
        ]
    return faults


def is_linearizable(events: list[Event], stale_seconds: float) -> bool:
    """Whether the events fit some order in which each happens at once, at a moment of its own.

    The search of Wing and Gong (1993), which does not try the same set of events and state twice.
    """
    told = sorted(
        (one for one in events if one.is_certain or one.kind != "read"),
        key=lambda one: one.began,
    )
    spans = [_span(one, stale_seconds) for one in told]
    required = sum(1 << index for index, one in enumerate(told) if one.is_certain)
    seen = set()
    waiting = [(0, ABSENT)]
    while waiting:
        done, state = waiting.pop()
        if done & required == required:
            return True
        if (done, state) in seen:
            continue
        seen.add((done, state))
        left = [index for index in range(len(told)) if not done >> index & 1]
        first_end = min(spans[index][1] for index in left)
        waiting += [
            (done | 1 << index, _after(told[index], state))
            for index in left
            if spans[index][0] <= first_end and _fits(told[index], state)
        ]
    return False


def _span(event: Event, stale_seconds: float) -> tuple[float, float]:
    if not event.is_certain:
        return event.began, FOREVER
    is_old = event.kind == "read" and event.version is not None
    return event.began - (stale_seconds if is_old else 0), event.ended


def _fits(event: Event, state: str | None) -> bool:
    if event.kind == "create":
        return state is ABSENT
    if event.kind == "delete":
        return state is not ABSENT
    return event.version == state


def _after(event: Event, state: str | None) -> str | None:
    if event.kind == "read":
        return state
    return event.version if event.kind == "create" else ABSENT
