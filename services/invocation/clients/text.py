"""JSON as text: results travel as the bytes that the upstream wrote, never re-serialised."""

import json
import re
from typing import Any, NamedTuple, NoReturn

LARGEST = 16 * 1024 * 1024
"""Bytes of one answer, all its events together."""


class Span(NamedTuple):
    """A JSON value, and the text that it was read from."""

    value: Any
    text: str


def _constant(name: str) -> NoReturn:
    raise ValueError(f"`{name}` is no JSON")


_scan = json.JSONDecoder(parse_constant=_constant).raw_decode
_space = re.compile(r"[ \t\n\r]*").match
_NAME = r'[ \t\n\r]*"([^"\\\x00-\x1f]*)"[ \t\n\r]*:[ \t\n\r]*'
_first, _next = re.compile(_NAME).match, re.compile(rf"[ \t\n\r]*,{_NAME}").match
"""A member's plain name and what stands around it. One with escapes is read as any value is."""


def members(text: str) -> dict[str, Span]:
    """The members of the one object in `text`. `ValueError` if it is anything else."""
    at = _skip(text, _after(text, 0, "{"))
    found: dict[str, Span] = {}
    while not text.startswith("}", at):
        if plain := (_next if found else _first)(text, at):
            key, at = plain[1], plain.end()
        else:
            at = _after(text, at, ",") if found else at
            key, at = _value(text, _after(text, at, '"') - 1)
            at = _skip(text, _after(text, at, ":"))
        value, end = _value(text, at)
        if key in found:
            raise ValueError(f"the key `{key}` is there twice")
        found[key] = Span(value, text[at:end])
        at = _skip(text, end)
    _end(text, at + 1)
    return found


def elements(text: str) -> list[Span]:
    """The elements of the one array in `text`. `ValueError` if it is anything else."""
    at = _skip(text, _after(text, 0, "["))
    found: list[Span] = []
    while text[at : at + 1] != "]":
        if found:
            at = _skip(text, _after(text, at, ","))
        value, end = _value(text, at)
        found.append(Span(value, text[at:end]))
        at = _skip(text, end)
    _end(text, at + 1)
    return found


def compact(value: object) -> str:
    """JSON text of what some library has parsed already."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _value(text: str, at: int) -> tuple[Any, int]:
    try:
        return _scan(text, at)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _skip(text: str, at: int) -> int:
    match = _space(text, at)
    return match.end() if match else at


def _after(text: str, at: int, wanted: str) -> int:
    at = _skip(text, at)
    if text[at : at + 1] != wanted:
        raise ValueError(f"`{wanted}` is missing at character {at}")
    return at + 1


def _end(text: str, at: int) -> None:
    if _skip(text, at) != len(text):
        raise ValueError(f"something follows at character {at}")
