"""JSON text is cut and joined, not parsed and written again: what travels is what came."""

import json
import re
from collections.abc import Mapping
from typing import NamedTuple

from orjson import Fragment, dumps

_VALUE = json.JSONDecoder().raw_decode
_SPACE = re.compile(r"[ \t\n\r]*")


class Span(NamedTuple):
    """Where in a text a member's value is."""

    start: int
    end: int


def members(text: str, at: int = 0) -> dict[str, Span]:
    """Where the values of the object at `at` are. The text must be valid JSON."""
    found: dict[str, Span] = {}
    at = _after_space(text, _after_space(text, at) + 1)
    while text[at] != "}":
        name, start = _name(text, at)
        end = _VALUE(text, start)[1]
        found[name] = Span(start, end)
        at = _next(text, end)
    return found


def cut(text: str, *path: str) -> str | None:
    """The exact text of the member at `path`, or None where there is none.

    The text must be JSON in which no name stands twice in one object.
    """
    at: int | None = _after_space(text, 0)
    for name in path:
        at = None if at is None or text[at] != "{" else _value_of(text, at, name)
    return None if at is None else text[at : _VALUE(text, at)[1]]


def _value_of(text: str, at: int, wanted: str) -> int | None:
    """Where the value of a member of the object at `at` begins; what follows is not read."""
    at = _after_space(text, at + 1)
    while text[at] != "}":
        name, start = _name(text, at)
        if name == wanted:
            return start
        at = _next(text, _VALUE(text, start)[1])
    return None


def _name(text: str, at: int) -> tuple[str, int]:
    """A member's name, and where its value begins."""
    name, at = _VALUE(text, at)
    return name, _after_space(text, _after_space(text, at) + 1)


def _next(text: str, at: int) -> int:
    """Where the member after a value begins, or the object ends."""
    at = _after_space(text, at)
    return _after_space(text, at + 1) if text[at] == "," else at


def with_members(text: str, there: Mapping[str, Span], added: Mapping[str, str]) -> str:
    """The object `text` with members whose values are JSON texts; those that it has are replaced.

    `there` are its members. Everything else stays as it is, byte for byte.
    """
    for name, span in sorted(there.items(), key=lambda one: one[1], reverse=True):
        if name in added:
            text = text[: span.start] + added[name] + text[span.end :]
    new = ",".join(f"{_quoted(name)}:{value}" for name, value in added.items() if name not in there)
    if not new:
        return text
    start = text.index("{") + 1
    return f"{text[:start]}{new}{',' if there else ''}{text[start:]}"


def raw(text: str) -> Fragment:
    """JSON text as a value for `orjson.dumps`, taken over as it is."""
    return Fragment(text)


def _quoted(name: str) -> str:
    return dumps(name).decode()


def _after_space(text: str, at: int) -> int:
    if text[at : at + 1] > " ":
        return at
    found = _SPACE.match(text, at)
    return found.end() if found else at
