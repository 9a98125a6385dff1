"""What the platform hears of the cluster, passed on to the core in messages."""

from collections.abc import Sequence
from typing import Final

from keystead.wire.cluster_messages import AnyRecordChanged, News, RecordsChanged, UpToDate
from keystead.wire.connection import Connection, ConnectionEnded
from keystead.wire.platform_messages import CoreToPlatform, PlatformToCore

_MAX_PATHS: Final = 1000
"""The most paths in a message. After more changes at once, any record may have changed."""


class NewsForCore:
    """Sends news while the core keeps up. A core that does not is told that it missed some."""

    def __init__(self, connection: Connection[CoreToPlatform, PlatformToCore]) -> None:
        self._connection = connection
        self._has_missed = False

    def changed(self, paths: Sequence[str]) -> None:
        """Tell that these records were changed or deleted."""
        if len(paths) > _MAX_PATHS or not self._connection.is_writable:
            self._has_missed = True
        else:
            self._send(RecordsChanged(list(paths)))

    def lost(self) -> None:
        """Tell that any record may have changed."""
        self._has_missed = True

    def up_to_date(self, as_of: float, *, is_alone: bool) -> None:
        """Tell that everything acknowledged before `as_of` has been told."""
        if not self._connection.is_writable:
            return
        if self._has_missed:
            self._has_missed = False
            self._send(AnyRecordChanged())
        self._send(UpToDate(as_of, is_alone))

    def _send(self, message: News) -> None:
        try:
            self._connection.send(message)
        except ConnectionEnded:
            return  # The core is gone, and the platform ends too.
