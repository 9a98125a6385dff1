"""What a client can ask of the whole server: reboot, shut down, reset to factory settings."""

from collections.abc import Awaitable, Callable
from typing import Literal

from keystead.journal.log import Log
from keystead.model.users import Caller

SystemAction = Literal["reboot", "shutdown", "factory-reset"]


async def _ignore(_: SystemAction) -> None:
    """Do nothing, until the process that runs the HSM sets its own handler."""


class SystemActions:
    """Passes actions to the process that runs the HSM."""

    def __init__(self, log: Log) -> None:
        """Each action is logged before it is carried out."""
        self._log = log
        self.carry_out: Callable[[SystemAction], Awaitable[None]] = _ignore
        """Returns once the action will be carried out even after a crash."""

    async def want(self, action: SystemAction, caller: Caller | None) -> None:
        """Reboot, shut down or reset the server, after the response is on its way.

        Returns once the action will be carried out even after a crash.
        """
        self._log.info(
            "action requested", action=action, caller=str(caller.user_id) if caller else ""
        )
        await self.carry_out(action)
