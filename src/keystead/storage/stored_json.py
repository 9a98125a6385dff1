"""The rule for every record that is JSON: a field that this version does not know is refused.

A field may restrict what its record allows, and a record is written anew as a whole. To drop what
is not known would lift that restriction at the next use of a key, and erase it at the next write:
after a downgrade, or a restore of another software's backup. So such a record does not open, and
stays as it is. What a NetHSM writes is known, all of it.
"""

from keystead.model.secret import Hidden


class StoredJson(Hidden, forbid_unknown_fields=True):
    """The base of all shapes of records. CorruptRecord, or ValueError, for a field that is new."""
