"""What a command prints: a table where people look, JSON where scripts read."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

NO, CANNOT = 1, 2
"""Exit codes: the answer is no; it could not be asked."""


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def print_line(text: str) -> None:
    """One line on standard output, at once: somebody may follow it in a pipe."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], empty: str) -> None:
    """A table; plain and tab-separated in a pipe. `empty` is said (on stderr) if it has no rows."""
    if not rows:
        sys.stderr.write(empty + "\n")
        return
    if not sys.stdout.isatty():
        for row in (columns, *rows):
            print_line("\t".join(_shown(cell) for cell in row))
        return
    from rich.console import Console  # noqa: PLC0415 100 ms that a pipe need not wait

    Console().print(table(columns, rows))


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> "Table":
    """For a terminal."""
    from rich.table import Table  # noqa: PLC0415 as above
    from rich.text import Text  # noqa: PLC0415 as above

    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, overflow="fold")
    for row in rows:
        made.add_row(*(Text(_shown(cell)) for cell in row))
    return made


def print_fields(document: Mapping[str, Any], names: Sequence[str] = ()) -> None:
    """A document, a line a field; `names` chooses and orders, else all."""
    chosen = [name for name in (names or document) if document.get(name) not in (None, "", [], {})]
    width = max((len(name) for name in chosen), default=0)
    for name in chosen:
        print_line(f"{name:<{width}}  {_shown(document[name])}")


def say(text: str) -> None:
    """Something beside the result, on standard error."""
    sys.stderr.write(text + "\n")


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.1f}"
    if isinstance(value, list | tuple):
        return ", ".join(_shown(one) for one in value)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else str(value)
