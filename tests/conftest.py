"""What tests of every area share."""

from typing import Any

from hypothesis import settings

from tests.vectors import tally

# On a busy machine an example may take any time; what must be fast is measured elsewhere.
settings.register_profile("keystead", deadline=None)
settings.load_profile("keystead")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Show the t-values of the tests of timing and the counts of vectors, whoever failed."""
    reports = [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]
    reported = [one for report in reports for one in report.user_properties]
    lines = [line for name, line in reported if name == "timing"]
    if lines:
        terminalreporter.section("timing")
        terminalreporter.write_line("\n".join(sorted(lines, key=lambda line: line[30:])))
    counts = [value for name, value in reported if name == tally.PROPERTY]
    if counts:
        terminalreporter.section("vectors")
        terminalreporter.write_line("\n".join(tally.table(counts)))
