"""A full run of the fault matrix ends with what it found."""

from pytest import TerminalReporter

from tests.chaos.report import tables
from tests.chaos.scale import FULL
from tests.chaos.stands import STANDS


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """The table of each stand of which a row was played."""
    ended = (one for kind in ("passed", "failed") for one in terminalreporter.stats.get(kind, ()))
    played = {one.nodeid.partition("[")[2].partition("-")[0] for one in ended}
    if FULL and (stands := [name for name in STANDS if name in played]):
        terminalreporter.section("the fault matrix, as docs/fault-matrix.md has it")
        terminalreporter.write_line(tables(stands))
