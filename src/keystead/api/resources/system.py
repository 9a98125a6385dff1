"""The machine: what it is, and its ends."""

from base64 import b64encode
from collections.abc import Mapping
from typing import Annotated, Final

import msgspec

from keystead import SECURITY_VERSION, __version__
from keystead.api.http.route import NO_CONTENT, Call, Reply
from keystead.api.resources.shapes import decode_nonce, json_reply
from keystead.operations import attest_machine
from keystead.operations.attest_machine import QuotesMachine

NETHSM_VERSION: Final = "5.0"
"""The version of NetHSM whose API this is. Clients decide by `softwareVersion` what they use:
namespaces from 2 on, labels from 5 on."""


_NETHSM_REGISTERS: Final = ("0", "2")
"""Those that NetHSM shows, and that its description names."""


class SystemInfo(msgspec.Struct, rename="camel"):
    """GET /system/info.

    `pcr` is what the machine says of itself. `akPub` has the key that verifies what the TPM says.
    """

    software_version: str
    software_build: str
    firmware_version: str
    hardware_version: str
    device_id: str
    ak_pub: dict[str, str]
    pcr: Mapping[str, str]
    device_key: str | msgspec.UnsetType = msgspec.UNSET
    """With ?details=true: what keeps the device key: `file`, in clear, `credential` or `tpm2`."""


class QuoteRequest(msgspec.Struct, forbid_unknown_fields=True):
    """POST /system/attestation: a nonce of 8 to 32 bytes, in base64."""

    nonce: str


class QuoteView(msgspec.Struct, rename="camel"):
    """POST /system/attestation, in base64 but for `bank` and `pcr`."""

    quote: str
    """TPMS_ATTEST, as the TPM signed it."""
    signature: str
    """TPMT_SIGNATURE, by the key in `akPub` of GET /system/info."""
    bank: str
    pcr: dict[str, str]
    """The values of the registers, in hexadecimal, by number."""
    event_log: str
    """What the firmware measured at this boot. Empty if the server cannot read the log."""


class SystemUpdateData(msgspec.Struct, rename="camel"):
    """POST /system/update."""

    release_notes: str


async def info(call: Call[None]) -> Reply[SystemInfo]:
    """GET /system/info: versions, and the name of this device.

    With ?details=true also what keeps the device key, and all registers of the TPM.
    """
    with_details, measured = call.flag("details"), call.hsm.measurements
    return json_reply(
        SystemInfo(
            software_version=NETHSM_VERSION,
            software_build=f"{__version__}-{SECURITY_VERSION}",
            firmware_version="N/A",
            hardware_version="N/A",
            device_id=call.hsm.device_id,
            ak_pub=_attestation_keys(call.hsm.quotes),
            pcr=measured if with_details else _of_nethsm(measured),
            device_key=call.hsm.device_key_provider if with_details else msgspec.UNSET,
        )
    )


def _of_nethsm(measured: Mapping[str, str]) -> dict[str, str]:
    return {register: measured[register] for register in _NETHSM_REGISTERS if register in measured}


def _attestation_keys(tpm: QuotesMachine | None) -> dict[str, str]:
    return {} if tpm is None else {"P256": b64encode(tpm.public_der).decode()}


async def attest(call: Call[QuoteRequest]) -> Reply[QuoteView]:
    """POST /system/attestation: the TPM signs what was booted, with a nonce of the caller."""
    wanted = await call.json(QuoteRequest)
    nonce = decode_nonce(wanted.nonce, most=attest_machine.MAX_NONCE_BYTES)
    found = await attest_machine.quote(call.hsm.quotes, nonce)
    call.require_allowed()
    call.context.note("machine attested")
    return json_reply(
        QuoteView(
            quote=b64encode(found.quote).decode(),
            signature=b64encode(found.signature).decode(),
            bank=found.bank,
            pcr={register: value.hex() for register, value in found.pcr.items()},
            event_log=b64encode(found.event_log).decode(),
        )
    )


async def reboot(call: Call[None]) -> Reply[None]:
    """POST /system/reboot: restart; in Failed, the user `unlock` may too."""
    await call.hsm.actions.want("reboot", call.authenticated)
    return NO_CONTENT


async def shutdown(call: Call[None]) -> Reply[None]:
    """POST /system/shutdown: stop; in Locked and Failed, the user is `unlock` by default."""
    await call.hsm.actions.want("shutdown", call.authenticated)
    return NO_CONTENT


async def factory_reset(call: Call[None]) -> Reply[None]:
    """POST /system/factory-reset: destroy all data; in Failed, the user `unlock` may too."""
    await call.hsm.actions.want("factory-reset", call.authenticated)
    return NO_CONTENT


async def update(call: Call[bytes]) -> Annotated[Reply[SystemUpdateData], 409]:
    """POST /system/update: an image is verified and staged while it arrives."""
    body = call.unread_body.parts(call.route.body_limit)
    header = await call.hsm.updates.receive(call.context, body)
    return json_reply(SystemUpdateData(header.release_notes))


async def commit_update(call: Call[None]) -> Reply[None]:
    """POST /system/commit-update: have the staged image take over, by a restart."""
    await call.hsm.updates.commit(call.context)
    await call.hsm.actions.want("reboot", call.caller)
    return NO_CONTENT


async def cancel_update(call: Call[None]) -> Reply[None]:
    """POST /system/cancel-update: remove the staged image."""
    await call.hsm.updates.cancel(call.context)
    return NO_CONTENT
