"""Times as text: the same as Python's own, whatever part of a second they have."""

from datetime import UTC, datetime

from hypothesis import example, given
from hypothesis import strategies as st

from keystead.model.timestamps import in_milliseconds


@given(st.floats(min_value=0, max_value=4e9))
@example(1_700_000_000.9999996)
@example(1_700_000_000.9999994)
@example(1_700_000_000.0005)
@example(0.0)
def test_a_time_to_the_millisecond_is_what_python_writes(seconds):
    wanted = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    assert in_milliseconds(seconds) + "+00:00" == wanted
