"""What anyone may know of the HSM, and its metrics."""

import msgspec

from keystead.api.route import OPENMETRICS, PROMETHEUS, Call, Reply
from keystead.journal import exposition

_VARY = ("Vary", "Accept")

PRODUCT = msgspec.json.encode({"vendor": "Keystead", "product": "Keystead"})


async def info(_: Call) -> Reply:
    """GET /info."""
    return Reply(200, PRODUCT)


async def empty(_: Call) -> Reply:
    """GET /health/alive and /health/ready: the state check has answered already."""
    return Reply(200)


async def state(call: Call) -> Reply:
    """GET /health/state."""
    return Reply(200, msgspec.json.encode({"state": call.hsm.state.value}))


async def metrics(call: Call) -> Reply:
    """GET /metrics: as JSON, NetHSM's names, every value as text; or for Prometheus."""
    if call.produces == OPENMETRICS:
        return _exposed(exposition.OPENMETRICS, exposition.openmetrics(call.hsm.metric_families()))
    if call.produces == PROMETHEUS:
        return _exposed(exposition.PROMETHEUS, exposition.prometheus(call.hsm.metric_families()))
    return Reply(200, msgspec.json.encode(call.hsm.metric_values()), [_VARY])


def _exposed(content_type: str, text: str) -> Reply:
    return Reply(200, text.encode(), [("Content-Type", content_type), _VARY])
