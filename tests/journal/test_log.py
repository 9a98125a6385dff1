"""The log: one line an event, whatever is in it."""

import json
import os

from hypothesis import given
from hypothesis import strategies as st

from keystead.journal.log import REQUEST, Level, Log


def logged(act) -> str:
    lines = []
    act(Log("core", clock=lambda: 1_700_000_000.25, write=lines.append))
    (line,) = lines
    return line


def test_an_event_is_one_line_of_json_with_time_level_process_and_fields():
    line = logged(lambda log: log.info("edge replaced", edge=2, exit="signal 9"))
    assert line.endswith("}\n")
    event = json.loads(line)
    assert event.pop("pid") > 0
    assert event == {
        "time": "2023-11-14T22:13:20.250+00:00",
        "level": "info",
        "process": "core",
        "event": "edge replaced",
        "edge": 2,
        "exit": "signal 9",
    }


def test_a_line_break_in_a_field_cannot_forge_a_second_event():
    line = logged(lambda log: log.warning("odd", name='a\n{"event":"unlocked"}\u2028\x1b[2J'))
    assert line.count("\n") == 1
    assert line.isascii()
    assert line[:-1].isprintable()


def test_a_field_cannot_pass_itself_off_as_the_level():
    event = json.loads(logged(lambda log: log.info("locked", level="debug")))
    assert event["level"] == "info"


def test_a_bug_tells_where_and_what_type_and_never_the_message():
    def act(log):
        try:
            int("passphrase=hunter2")
        except ValueError as error:
            log.bug("request failed", error)

    line = logged(act)
    assert "hunter2" not in line
    event = json.loads(line)
    assert event["error"] == "ValueError"
    assert "test_log.py:" in event["where"]


def test_events_below_the_threshold_are_dropped():
    lines = []
    log = Log("core", clock=lambda: 0, write=lines.append)
    log.debug("fine print")
    log.threshold = Level.ERROR
    log.warning("not that bad")
    log.error("bad")
    assert [json.loads(line)["event"] for line in lines] == ["bad"]


def test_what_is_always_logged_has_no_threshold():
    lines, forwarded = [], []
    log = Log("core", clock=lambda: 0, write=lines.append)
    log.threshold = Level.ERROR
    log.forward = lambda level, line: forwarded.append((level, line))
    log.always("evidence", entry=7)
    (line,) = lines
    assert (json.loads(line)["event"], json.loads(line)["level"]) == ("evidence", "info")
    assert forwarded == [(Level.INFO, line.rstrip("\n"))]


def test_an_event_carries_the_number_of_its_request():
    token = REQUEST.set(7)
    try:
        assert json.loads(logged(lambda log: log.info("key created")))["request"] == 7
    finally:
        REQUEST.reset(token)


def test_every_line_is_forwarded_with_its_level():
    forwarded = []
    log = Log("core", clock=lambda: 0, write=lambda _: None)
    log.forward = lambda level, line: forwarded.append((level, json.loads(line)["event"]))
    log.warning("odd")
    assert forwarded == [(Level.WARNING, "odd")]


def gathering():
    """Return a log that gathers the lines of a turn, its writes, and the calls for its end."""
    writes, soon = [], []
    log = Log("core", clock=lambda: 0, write=writes.append)
    log.gather(soon.append)
    return log, writes, soon


def events(writes):
    return [[json.loads(line)["event"] for line in lines.splitlines()] for lines in writes]


def test_the_lines_of_one_turn_share_a_write():
    log, writes, soon = gathering()
    log.info("first")
    log.always("second")
    assert writes == []
    (end_of_turn,) = soon
    end_of_turn()
    log.info("third")
    soon.pop()()
    assert events(writes) == [["first", "second"], ["third"]]


def test_a_warning_is_written_at_once_after_the_lines_before_it():
    log, writes, soon = gathering()
    log.info("before")
    log.warning("odd")
    log.error("bad")
    assert events(writes) == [["before", "odd"], ["bad"]]
    for end_of_turn in soon:
        end_of_turn()
    assert len(writes) == 2


def test_a_long_turn_does_not_hold_lines_without_a_bound():
    log, writes, _ = gathering()
    for _ in range(1000):
        log.info("key created")
    assert len(writes) > 10
    log.flush()
    assert sum(map(len, events(writes))) == 1000


@given(
    st.text(),
    st.dictionaries(
        st.text().filter(lambda name: name not in {"self", "event"}),
        st.one_of(st.none(), st.booleans(), st.integers(), st.text()),
    ),
    st.one_of(st.none(), st.integers(min_value=0)),
)
def test_a_line_is_what_the_json_module_writes_of_the_event(event, fields, request):
    token = REQUEST.set(request)
    try:
        line = logged(lambda log: log.info(event, **fields))
    finally:
        REQUEST.reset(token)
    known = {
        "time": "2023-11-14T22:13:20.250+00:00",
        "level": "info",
        "process": "core",
        "pid": os.getpid(),
        "event": event,
        **({} if request is None else {"request": request}),
    }
    others = {name: value for name, value in fields.items() if name not in known}
    assert line == json.dumps(known | others) + "\n"
