"""What an operation is told of the request that asks for it: one value, its first argument."""

from collections.abc import Callable

import msgspec

from keystead.model.users import Caller
from keystead.operations.session import Session
from keystead.operations.shares import Party, of_user


class CallerContext(msgspec.Struct, frozen=True):
    """Who asks for an operation, from where, and what the operation works with.

    Dispatch makes one for each request of an authenticated caller. It grants nothing by itself:
    whoever uses it asks what the caller may do, and asks again after a wait (ADR 14). An operation
    that needs no caller takes the session alone.
    """

    session: Session
    """What an Operational HSM works with; it may have ended after a wait."""
    caller: Caller
    """The user that was authenticated."""
    address: str
    """The client's IP address, as the edge says."""
    now: Callable[[], float]
    """The configured time, in Unix seconds."""

    @property
    def party(self) -> Party:
        """The party whose share of the threads the caller's slow work takes."""
        return of_user(self.caller.user_id)

    def note(self, event: str, **details: str) -> None:
        """Log what the caller did; `details` hold names only, never a secret."""
        self.session.note(self.caller, event, **details)
