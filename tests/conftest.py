"""What tests of every area share."""

from typing import Any

from hypothesis import settings

# On a busy machine an example may take any time; what must be fast is measured elsewhere.
settings.register_profile("keystead", deadline=None)
settings.load_profile("keystead")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Show the t-values of the tests of timing, whoever passed or failed."""
    reports = [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]
    lines = [line for one in reports for name, line in one.user_properties if name == "timing"]
    if lines:
        terminalreporter.section("timing")
        terminalreporter.write_line("\n".join(sorted(lines, key=lambda line: line[30:])))
