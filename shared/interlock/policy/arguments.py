"""The one mapping of a call's arguments, or any JSON, to Cedar's values (DESIGN §5, policy).

| JSON | Cedar |
|---|---|
| integers of 64 bits | Long |
| other numbers of up to four decimals in decimal's range | decimal |
| all other numbers | a record `{__number: "<as written>"}`: a rule that compares it errs: deny |
| null | left out, of a list as well |
| a list | Set: neither order nor repetitions count |
| a name that has a meaning in Cedar's JSON or here (`__entity`, `__number`, …) | one `_` more |
"""

import json
import re
from typing import Any

LONGS = range(-(2**63), 2**63)
DECIMAL = re.compile(r"(-?\d{1,15})\.(\d{1,4})")
"""Cedar's decimal is a count of ten-thousandths in 64 bits."""
NUMBER = "__number"
TAKEN = re.compile(r"_{2,}(entity|extn|expr|number)")


class Unrepresentable(ValueError):
    """Cedar has no value for this JSON text; the message says what in it."""


def arguments_for_cedar(text: str) -> dict[str, Any]:
    """The JSON object in `text`, as Cedar's JSON format (`Unrepresentable` where there is none)."""
    try:
        value = _DECODER.decode(text)
    except RecursionError:
        raise Unrepresentable("the arguments are nested too deeply") from None
    except Unrepresentable:
        raise
    except ValueError:
        raise Unrepresentable("the arguments cannot be read as JSON") from None
    if not isinstance(value, dict):
        raise Unrepresentable("the arguments are no JSON object")
    return value


def _record(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = {}
    for name, value in pairs:
        if name in record:
            raise Unrepresentable(f"the arguments name `{name}` twice")
        record[name] = value
    return {
        f"_{name}" if TAKEN.fullmatch(name) else name: _value(value)
        for name, value in record.items()
        if value is not None
    }


def _value(value: Any) -> Any:
    """Records and fractions were mapped when they were read; whole numbers and lists were not."""
    if isinstance(value, list):
        return [_value(one) for one in value if one is not None]
    if type(value) is int and value not in LONGS:
        return {NUMBER: str(value)}
    return value


def _fraction(text: str) -> dict[str, Any]:
    parts = DECIMAL.fullmatch(text)
    if parts is not None and int(parts[1] + parts[2].ljust(4, "0")) in LONGS:
        return {"__extn": {"fn": "decimal", "arg": text}}
    return {NUMBER: text}


def _refuse(name: str) -> Any:
    raise Unrepresentable(f"`{name}` is no number in JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_record, parse_float=_fraction, parse_constant=_refuse
)
