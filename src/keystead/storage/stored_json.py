"""The rule for every record that is JSON: a field that this version does not know is refused.

A field may restrict what its record allows, and a record is always rewritten as a whole. If unknown
fields were dropped, a downgrade or the restore of a backup of other software would lift that
restriction at the next use of a key, and erase it at the next write. So a record with an unknown
field does not open and stays as it is. All fields that a NetHSM writes are known.
"""

from keystead.model.secret import Hidden


class StoredJson(Hidden, forbid_unknown_fields=True):
    """The base class of all shapes of records. An unknown field is an error."""
