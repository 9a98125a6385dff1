"""The table and the data of a benchmark run."""

from bench.result import Reference, Row, at_least, at_most, number, table


def row(*, target=None, reference=None):
    return Row("P-256", "/s", [90.0, 100.0, 300.0], target, reference, {"edge": 40.4, "core": 60})


def test_what_was_measured_is_the_median_round():
    assert row().measured == 100


def test_a_ratio_is_the_median_of_rounds_that_were_neighbours():
    assert row(reference=Reference("peer", [90.0, 50.0, 100.0])).ratio == 2


def test_a_target_is_met_or_not():
    assert row().met is None
    assert row(target=at_least(100)).met is True
    assert row(target=at_least(101)).met is False
    assert row(target=at_most(100)).met is True
    assert row(target=at_most(99)).met is False


def test_target_and_ratio_have_to_be_met_both():
    peer = [90.0, 50.0, 100.0]
    assert row(target=at_least(1), reference=Reference("peer", peer, at_least(2.1))).met is False
    assert row(target=at_least(1), reference=Reference("peer", peer, at_least(2))).met is True
    assert row(target=at_least(999), reference=Reference("peer", peer, at_least(2))).met is False


def test_the_table_says_all_of_it():
    head, rule, line = table(
        [row(target=at_least(1_000), reference=Reference("peer", [90.0, 50.0, 100.0], at_least(1)))]
    ).splitlines()
    assert head.count("|") == rule.count("|") == line.count("|")
    for cell in ("100 /s", "90 to 300", "≥ 1,000 /s", "90: peer", "2.00", "≥ 1", "**no**"):
        assert f" {cell} " in line
    assert "0, 40, 60, 0, 0" in line


def test_the_data_say_all_of_it():
    assert row(target=at_most(1), reference=Reference("peer", [90.0, 50.0, 100.0])).as_data() == {
        "case": "P-256",
        "unit": "/s",
        "measured": 100,
        "rounds": [90, 100, 300],
        "target": {"at_most": 1},
        "reference": 90,
        "reference_name": "peer",
        "ratio": 2,
        "ratio_target": None,
        "met": False,
        "cpu_us_per_request": {"edge": 40.4, "core": 60},
    }


def test_a_figure_has_as_many_digits_as_it_is_worth():
    assert [number(n) for n in (0.0, 0.123, 12.34, 1234.5)] == ["0.00", "0.12", "12.3", "1,234"]
