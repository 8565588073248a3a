"""Lists in pages; a cursor is the last name that was shown, so it means the same everywhere."""

from collections.abc import Sequence
from typing import TypeVar

from mcp.shared.exceptions import MCPError
from mcp.types import INVALID_PARAMS

PAGE = 200
FRESH_MS = 5_000
"""How long a client may take a list for the newest."""
T = TypeVar("T")


def page_of(
    named: Sequence[tuple[str, T]], cursor: object
) -> tuple[Sequence[tuple[str, T]], dict[str, str]]:
    """Up to 200 of a list in the order of its names, and where the next page begins, if any."""
    if not isinstance(cursor, str | None):
        raise MCPError(INVALID_PARAMS, "`cursor` is a string, as the last page had it")
    left = [one for one in named if cursor is None or one[0] > cursor]
    page = left[:PAGE]
    return page, {"nextCursor": page[-1][0]} if len(left) > len(page) else {}
