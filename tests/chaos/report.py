"""What full runs of the matrix found: kept row by row, written as docs/fault-matrix.md."""

import json
import platform
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from tests.chaos.rows import ROWS, Row
from tests.chaos.stands import STANDS

DOCS = Path(__file__).parents[2] / "docs"
HEAD = """# The fault matrix

Written by `make chaos` from what it counted (`docs/fault-matrix.json`); do not edit.

Each row is a fault, played while tasks flow: half of them calls that may not be repeated, a
quarter submitted on the bus. Held against each other afterwards: what the gateway says of each
task; the ledger, verified with its anchor, which must have each record's cause and one end of each
task; and the log of the upstream.

- *Faults* counts tasks without exactly one end, or with another one than without the fault
  (`unknown` is one wherever no call was cut); calls that may not be repeated and were made twice;
  and whatever is wrong with the ledger.
- *Recovery* is from a kill, or from the end of another fault, to the first new outcome, and to the
  last of eight tasks that were asked for at that moment; the slowest time of the row.
- `make test` plays every fault on every bus that can have it, with few tasks; what only a full run
  plays besides, each stand names.
"""
KEPT, REPORT = DOCS / "fault-matrix.json", DOCS / "fault-matrix.md"
WHERE: Mapping[str, str] = {
    name: " ".join((made.__doc__ or "").split()) for name, made in STANDS.items()
}


@dataclass
class Result:
    """One row on one stand."""

    stand: str
    row: str
    tasks: int = 0
    ended: str = ""
    faults: list[str] = field(default_factory=list)
    """Tasks lost, ended twice or executed twice; records missing in the ledger."""
    touched: int = 0
    """Deliveries meddled with."""
    recoveries: Sequence[tuple[float, float]] = ()
    """Seconds to the first new outcome and to the last of eight, of each fault."""
    seconds: float = 0.0


def keep(result: Result) -> None:
    """Remember it in place of what was known of that row on that stand."""
    known = _kept()
    known[f"{result.stand} {result.row}"] = {
        **asdict(result),
        "recoveries": [[round(second, 2) for second in one] for one in result.recoveries],
        "seconds": round(result.seconds, 1),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M"),  # noqa: TID251 when it was measured
        "commit": _commit(),
        "machine": _machine(),
    }
    KEPT.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")


def write() -> None:
    """The report of all that is known."""
    REPORT.write_text("\n".join([HEAD, tables(STANDS)]))


def tables(stands: Iterable[str]) -> str:
    """What is known of each of these stands."""
    known = _kept()
    return "\n".join(line for stand in stands for line in _table(stand, known))


def _table(stand: str, known: Mapping[str, Any]) -> list[str]:
    played = [row for row in ROWS if stand in (*row.on, *row.also)]
    found = [(row, known.get(f"{stand} {row.id}")) for row in played]
    runs = sorted({(one["date"][:10], one["commit"], one["machine"]) for _, one in found if one})
    told = "; ".join(f"{date}, commit {commit}, {machine}" for date, commit, machine in runs)
    besides = "; ".join(row.told for row in played if stand in row.also)
    return [
        f"## {stand}",
        "",
        WHERE[stand],
        f"`make chaos ARGS='-k {stand}-'`: {told or 'not yet run in full'}.",
        *([f"In full only: {besides}."] if besides else ()),
        "",
        "| fault | tasks | faults | ended | meddled deliveries | recovery (s) | row took (s) |",
        "|---|---|---|---|---|---|---|",
        *(_line(row, one) if one else _blank(row, "not yet run in full") for row, one in found),
        *(_blank(row, row.instead[stand]) for row in ROWS if stand in row.instead),
        "",
    ]


def _blank(row: Row, why: str) -> str:
    return f"| {row.told} | - | | {why} | | | |"


def _line(row: Row, one: Mapping[str, Any]) -> str:
    slowest = max(one["recoveries"], key=lambda each: each[1], default=None)
    recovery = "" if slowest is None else f"{slowest[0]:.1f} / {slowest[1]:.1f}"
    faults = len(one["faults"])
    cells = (row.told, one["tasks"], faults, one["ended"], one["touched"] or "", recovery)
    return "| " + " | ".join(map(str, cells)) + f" | {one['seconds']:.0f} |"


def _kept() -> dict[str, Any]:
    known: dict[str, Any] = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    return known


def _commit() -> str:
    told = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return told.stdout.strip()


def _machine() -> str:
    memory = psutil.virtual_memory().total / 2**30
    return f"{psutil.cpu_count()} cores, {memory:.0f} GB, {platform.system()} {platform.machine()}"
