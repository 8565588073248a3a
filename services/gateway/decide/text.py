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
        name, at = _VALUE(text, at)
        start = _after_space(text, _after_space(text, at) + 1)
        _, end = _VALUE(text, start)
        found[name] = Span(start, end)
        at = _after_space(text, end)
        if text[at] == ",":
            at = _after_space(text, at + 1)
    return found


def cut(text: str, *path: str) -> str | None:
    """The exact text of the member at `path`, or None where there is none."""
    at = 0
    span = None
    for name in path:
        span = members(text, at).get(name) if text[at] == "{" else None
        if span is None:
            return None
        at = span.start
    return text[span.start : span.end] if span else None


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
