"""Members of a cluster."""

from typing import NamedTuple

from keystead.model.ids import MemberId


class Member(NamedTuple):
    """One HSM of a cluster, or a witness. Its name is empty until it has started."""

    number: int
    """Its ID as etcd has it: 64 bits."""
    name: str
    urls: tuple[str, ...]
    is_learner: bool = False

    @property
    def member_id(self) -> MemberId:
        """The ID as etcd writes it: hexadecimal digits, not padded."""
        return MemberId(f"{self.number:x}")
