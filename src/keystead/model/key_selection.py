"""The keys that a list is limited to."""

from dataclasses import dataclass

from keystead.model.ids import Label, Tag
from keystead.model.keys import may_use
from keystead.model.users import Caller


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySelection:
    """Conditions that a key must all meet. None and "" are no condition."""

    label: Label | None = None
    """The whole label."""
    label_part: str = ""
    """A part of the label, in any case."""
    tag: Tag | None = None
    type_name: str = ""
    user: Caller | None = None
    """A user that may use the key by its tags."""

    def is_met_by(self, label: Label, tags: frozenset[Tag]) -> bool:
        """Return whether a key with this label and these tags meets all but the type's condition.

        The type of a key takes longer to find out.
        """
        return (
            (self.label is None or label == self.label)
            and self.label_part.casefold() in label.casefold()
            and (self.tag is None or self.tag in tags)
            and (self.user is None or may_use(self.user, tags))
        )


EVERY_KEY = KeySelection()
