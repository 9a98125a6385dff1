"""The logging settings of this device: the lowest level that is logged, and the syslog server."""

from keystead.journal.log import Level
from keystead.model.device_settings import DEFAULT_LOGGING, LoggingSettings
from keystead.operations.session import CoreContext
from keystead.storage.local import LocalStore
from keystead.storage.settings import LOGGING


class ConfiguredLogging:
    """Applies the logging settings to the log of this process and to syslog."""

    def __init__(self, context: CoreContext, local: LocalStore) -> None:
        """`local` has the settings of this device."""
        self._log = context.log
        self._aim_syslog = context.aim_syslog
        self._settings = local.settings

    async def load(self) -> None:
        """Apply the stored settings. Raises StoreUnavailable if they cannot be read."""
        self.apply(await self._settings.get(LOGGING) or DEFAULT_LOGGING)

    def apply(self, wanted: LoggingSettings) -> None:
        """Set the lowest level that is logged, and the syslog server."""
        self._log.threshold = Level[wanted.log_level.upper()]
        self._aim_syslog(wanted)
