"""What anyone may know of the HSM, and its metrics."""

import msgspec

from keystead.api.route import Call, Reply

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
    """GET /metrics: NetHSM's names, every value as text."""
    return Reply(200, msgspec.json.encode(call.hsm.metric_values()))
