"""The settings that the appliance applies to its own machine: network and time server.

Network settings are on trial until an Administrator reads them over the new addresses. Only then
are they kept. Process 1 of the appliance returns to the old ones if the trial ends without that.
"""

import asyncio
from typing import Final

import msgspec

from keystead.model.device_settings import (
    DEFAULT_NETWORK,
    DEFAULT_NTP,
    DYNAMIC_NETWORK,
    NetworkSettings,
    NtpSettings,
)
from keystead.operations.caller_context import CallerContext
from keystead.operations.configured_time import ConfiguredTime
from keystead.operations.session import CoreContext
from keystead.storage.key_value_store import KeyValueStore
from keystead.storage.local import LocalStore
from keystead.storage.settings import NETWORK, NTP
from keystead.wire.control_messages import MachineSetting

TRIAL_SECONDS: Final = 120.0
"""How long an Administrator has to read new network settings over the new addresses."""
SETTLING_SECONDS: Final = 10.0
"""Until then, a request may still have come over the old addresses."""


class _Trial(msgspec.Struct, frozen=True):
    wanted: NetworkSettings
    began: float


class MachineSettings:
    """Network and time server. Only the appliance applies them; other servers keep them."""

    def __init__(
        self, context: CoreContext, store: KeyValueStore, local: LocalStore, time: ConfiguredTime
    ) -> None:
        """`context` says how process 1 is told, if there is one."""
        self._tell: Final = context.set_machine
        self._monotonic: Final = context.monotonic
        self._store: Final = store
        self._local: Final = local
        self._time: Final = time
        self._changing: Final = asyncio.Lock()
        self._trial: _Trial | None = None
        self._known: Final = dict[str, str]()
        """What process 1 was told, or gets at the next start, by the names of the settings."""

    @property
    def are_applied(self) -> bool:
        """Whether this is an appliance."""
        return self._tell is not None

    @property
    def trial_seconds(self) -> float:
        """The seconds until the trial of network settings ends; 0 if there is none."""
        if self._trial is None:
            return 0.0
        return max(0.0, self._trial.began + TRIAL_SECONDS - self._monotonic())

    async def load(self) -> None:
        """Have what the store holds applied, unless it is known already.

        Raises CorruptRecord if a record is damaged, and StoreUnavailable if the store cannot be
        read.
        """
        for setting in await self._stored():
            if self._known.get(setting.name) != setting.value:
                self._apply(setting)

    async def leave_to_next_start(self) -> None:
        """Apply what a restore has brought no earlier than at the next start.

        Until then, the addresses stay at which the HSM was asked for the restore. Raises what
        `load` raises.
        """
        self._known.update({setting.name: setting.value for setting in await self._stored()})

    async def network(self, context: CallerContext) -> NetworkSettings:
        """Return the network settings, and keep those on trial: the caller has reached them."""
        async with self._changing:
            trial = self._trial
            if trial is None or not self.trial_seconds:
                default = DYNAMIC_NETWORK if self.are_applied else DEFAULT_NETWORK
                return await self._local.settings.get(NETWORK) or default
            if self._monotonic() - trial.began >= SETTLING_SECONDS:
                await self._keep(context, trial.wanted)
                self._trial = None
            return trial.wanted

    async def set_network(self, context: CallerContext, wanted: NetworkSettings) -> None:
        """Begin the trial of network settings; where nothing applies them, keep them."""
        async with self._changing:
            if self._tell is None:
                await self._keep(context, wanted)
                return
            self._trial = _Trial(wanted, self._monotonic())
            self._tell(_network(wanted, is_trial=True))
            context.note("network settings on trial")

    async def set_time_server(self, context: CallerContext, wanted: NtpSettings) -> None:
        """Keep the time servers. The appliance asks the new one, and its clock is the time."""
        changes = [self._local.settings.put(NTP, wanted)]
        is_clock_right = self._tell is not None and wanted.ntp_ip is not msgspec.UNSET
        if is_clock_right:
            changes.append(self._time.without_offset())
        await self._store.commit(changes)
        if is_clock_right:
            self._time.offset = 0
        self._apply(_time_server(wanted))
        context.note("setting changed", setting=NTP.name)

    async def _keep(self, context: CallerContext, wanted: NetworkSettings) -> None:
        await self._store.commit([self._local.settings.put(NETWORK, wanted)])
        self._apply(_network(wanted))
        context.note("setting changed", setting=NETWORK.name)

    async def _stored(self) -> list[MachineSetting]:
        own = self._local.settings
        network = await own.get(NETWORK) or DYNAMIC_NETWORK
        return [_network(network), _time_server(await own.get(NTP) or DEFAULT_NTP)]

    def _apply(self, setting: MachineSetting) -> None:
        self._known[setting.name] = setting.value
        if self._tell is not None:
            self._tell(setting)


def _network(wanted: NetworkSettings, *, is_trial: bool = False) -> MachineSetting:
    value = msgspec.json.encode(wanted).decode()
    return MachineSetting("NETWORK_TRIAL" if is_trial else "NETWORK", value)


def _time_server(wanted: NtpSettings) -> MachineSetting:
    address = "" if wanted.ntp_ip is msgspec.UNSET else wanted.ntp_ip
    return MachineSetting("TIME_SERVER", address)
