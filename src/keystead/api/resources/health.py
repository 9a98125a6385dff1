"""What anyone may know of the HSM, and its metrics."""

import msgspec

from keystead import __version__
from keystead.api.http.route import OPENMETRICS, PROMETHEUS, Call, Empty, Reply
from keystead.api.resources.shapes import json_reply
from keystead.errors import WrongState
from keystead.journal import exposition
from keystead.journal.metrics import Load
from keystead.model.lifecycle import State
from keystead.model.timestamps import format_timestamp
from keystead.operations import cluster
from keystead.operations.hsm import Hsm

_VARY = ("Vary", "Accept")


class Info(msgspec.Struct):
    """GET /info."""

    vendor: str
    product: str


class FailedPair(msgspec.Struct, rename="camel"):
    """An address and a user with failed logins that still count. The times are RFC 3339."""

    user: str
    address: str
    locked_out: bool
    failed: int
    refused: int
    first_failure: str
    last_failure: str


class StateInfo(msgspec.Struct):
    """GET /health/state."""

    state: State


PRODUCT = msgspec.json.encode(Info("Keystead", "Keystead"))


async def info(_: Call[None]) -> Reply[Info]:
    """GET /info: who made it."""
    return Reply(200, PRODUCT)


async def empty(_: Call[None]) -> Empty:
    """GET /health/alive: 200 in the states it is about."""
    return Reply(200)


async def ready(call: Call[None]) -> Empty:
    """GET /health/ready: 200 unless a member of a cluster has been cut off for ten seconds."""
    freshness = call.hsm.freshness
    if freshness is not None and not freshness.is_ready:
        raise WrongState("This member is cut off from the cluster.")
    return Reply(200)


async def state(call: Call[None]) -> Reply[StateInfo]:
    """GET /health/state: the state, for everyone."""
    return json_reply(StateInfo(call.hsm.state))


async def lockouts(call: Call[None]) -> Reply[list[FailedPair]]:
    """GET /health/lockouts: who failed to log in or unlock within 15 minutes, the latest first."""
    hsm = call.hsm
    # What the configured time was when the monotonic clock was at 0.
    zero = hsm.time.now() - hsm.monotonic()
    return json_reply(
        [
            FailedPair(
                user=one.user,
                address=one.address,
                locked_out=hsm.failed_attempts.is_refused(one),
                failed=one.failed,
                refused=one.refused,
                first_failure=format_timestamp(zero + one.first),
                last_failure=format_timestamp(zero + one.last),
            )
            for one in hsm.failed_attempts.recent()
        ]
    )


async def metrics(call: Call[None]) -> Reply[dict[str, str]]:
    """GET /metrics: what it counts, as JSON by NetHSM's names, or for Prometheus."""
    if call.produces == OPENMETRICS:
        return _exposed(exposition.OPENMETRICS, exposition.openmetrics(await _families(call.hsm)))
    if call.produces == PROMETHEUS:
        return _exposed(exposition.PROMETHEUS, exposition.prometheus(await _families(call.hsm)))
    log = call.hsm.log
    values = call.hsm.metrics.values(log_warnings=log.warnings, log_errors=log.errors)
    return Reply(200, msgspec.json.encode(values), [_VARY])


async def _families(hsm: Hsm) -> list[exposition.Family]:
    return hsm.metrics.families(
        version=__version__,
        log_warnings=hsm.log.warnings,
        log_errors=hsm.log.errors,
        load=Load(
            is_writable=hsm.alarm.reason is None,
            work={kind: pool.under_way for kind, pool in hsm.pools.items()},
            free_bytes=await hsm.free_bytes(),
            database=await cluster.database_space(hsm),
            serves_minority=None if hsm.freshness is None else hsm.freshness.serves_minority,
        ),
    )


def _exposed(content_type: str, text: str) -> Reply[dict[str, str]]:
    return Reply(200, text.encode(), [("Content-Type", content_type), _VARY])
