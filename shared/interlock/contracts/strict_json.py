"""Arguments are parsed once, at a door, and mean the same to everybody after (DESIGN §3, "Bytes").

JSON leaves open what duplicate keys, lone surrogates and huge numbers mean (RFC 8259 §4, §6, §8.2),
and readers differ: what one judges another may not execute. So none of them passes a door.
"""

import json
from math import isfinite
from typing import Any, NoReturn

from interlock.errors import Refused

MAX_DEPTH = 64
"""Objects and arrays inside each other, the outermost counted."""


def parse_arguments(given: str | bytes) -> tuple[dict[str, Any], str]:
    """The JSON object in `given`, integers exact, and its text as it came.

    Raises `Refused` (`bad_arguments`) with what is wrong.
    """
    try:
        text = given.decode("utf-8") if isinstance(given, bytes) else given
        text.encode("utf-8")
    except UnicodeError:
        raise _bad("are no UTF-8 text") from None
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise _bad(f"are no JSON: {error.msg.lower()} at {where}") from None
    except RecursionError:
        raise _too_deep() from None
    except ValueError:  # the interpreter converts no more than 4,300 digits
        raise _bad("hold an integer of too many digits") from None
    if not isinstance(value, dict):
        raise _bad("are not a JSON object")
    _check(value, "", "\\u" in text)
    return value, text


def _check(value: object, at: str, escaped: bool, depth: int = 1) -> None:
    """Depth, and surrogates: only an escape can bring a lone one into UTF-8 text."""
    if isinstance(value, str):
        if escaped and not value.isascii():
            _paired(value, at)
        return
    if not isinstance(value, dict | list):
        return
    if depth > MAX_DEPTH:
        raise _too_deep()
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        if escaped and isinstance(key, str):
            _paired(key, at)
        _check(inner, f"{at}/{key}", escaped, depth + 1)


def _paired(text: str, at: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise _bad(f"hold a lone surrogate in a string at `{at or '/'}`") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for place, key in enumerate(keys) if key in keys[:place])
        raise _bad(f"hold the key {json.dumps(twice)} twice in one object")
    return found


def _constant(name: str) -> NoReturn:
    raise _bad(f"hold `{name}`, which is no number in JSON")


def _float(digits: str) -> float:
    number = float(digits)
    if not isfinite(number):
        raise _bad("hold a number that is too large")
    return number


def _too_deep() -> Refused:
    return _bad(f"are nested deeper than `{MAX_DEPTH}` levels")


def _bad(what: str) -> Refused:
    return Refused(f"the arguments {what}", code="bad_arguments")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_float=_float)
