"""The context of a request, which is the first argument of each operation."""

from collections.abc import Callable

import msgspec

from keystead.model.users import Caller
from keystead.operations.session import Session
from keystead.operations.shares import Party, of_user


class CallerContext(msgspec.Struct, frozen=True):
    """The caller of an operation, its address, and the session that the operation works with.

    Dispatch makes a context for each request of an authenticated caller. A context grants nothing:
    an operation checks what the caller may do, and checks again after each wait (ADR 14). An
    operation that needs no caller takes the session alone.
    """

    session: Session
    """The session of the Operational HSM. After a wait, it may have ended."""
    caller: Caller
    """The user that was authenticated."""
    address: str
    """The client's IP address, as the edge says."""
    now: Callable[[], float]
    """The configured time, in Unix seconds."""

    @property
    def party(self) -> Party:
        """The party that the caller's slow work belongs to in queues."""
        return of_user(self.caller.user_id)

    def note(self, event: str, **details: str) -> None:
        """Log what the caller did; `details` hold names only, never a secret."""
        self.session.note(self.caller, event, **details)
