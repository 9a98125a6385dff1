"""The log: one line an event, whatever is in it."""

from keystead.journal.log import Log


def logged(act) -> str:
    lines = []
    act(Log("core", clock=lambda: 1_700_000_000.25, write=lines.append))
    (line,) = lines
    return line


def test_an_event_is_one_line_with_time_level_process_and_fields():
    line = logged(lambda log: log.info("edge replaced", edge=2, exit="signal 9"))
    assert line.startswith("2023-11-14T22:13:20.250+00:00 info core[")
    assert line.endswith('] edge replaced edge=2 exit="signal 9"\n')


def test_a_line_break_in_a_field_cannot_forge_a_second_event():
    line = logged(lambda log: log.warning("odd", name="a\n2023 info core[1] unlocked\u2028x"))
    assert line.count("\n") == 1
    assert "\u2028" not in line


def test_a_bug_tells_where_and_what_type_and_never_the_message():
    def act(log):
        try:
            int("passphrase=hunter2")
        except ValueError as error:
            log.bug("request failed", error)

    line = logged(act)
    assert "hunter2" not in line
    assert "error=ValueError" in line
    assert "test_log.py:" in line
