"""Whether a call's arguments fit the schema that its upstream gives.

A schema is a stranger's, and so are the arguments, so no pair of them may cost much. The engine
matches patterns in linear time, counts the backtracking of those for which that is not possible,
and fetches nothing. But a schema may say the same twice, and that twice again: so what a check may
cost is known before it is made.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any
from urllib.parse import unquote

from jsonschema_rs import FancyRegexOptions, ReferencingError, ValidationError, validator_for
from jsonschema_rs import Validator as Engine

from interlock.errors import Refused
from services.gateway.model import Offer

MOST_VIOLATIONS = 100
BACKTRACKING = 10_000
"""Steps of one pattern with look-around or back-references on one text."""
DEEPEST = 64
"""References that lead to each other."""
MOST_CHECKED = 5_000_000
"""Looks at a value: some 20 ns each."""
MOST_TOLD = 50_000
"""Looks up to which all violations are told, not the first alone; and nodes of a schema."""


@dataclass(frozen=True)
class Validator:
    """A tool's `inputSchema`, compiled."""

    engine: Engine
    size: int
    """Its nodes with every reference unfolded until it comes back to where it was."""
    rings: int
    """References that come back: each may be followed again one level deeper in the arguments."""


def validator_of(definition: Mapping[str, Any]) -> Validator | None:
    """A validator for a tool's `inputSchema` (JSON Schema 2020-12 where it names no other).

    None where the schema itself is not valid, or unfolds without measure: then the upstream alone
    can judge. A `$ref` that leads out of the schema is never fetched.
    """
    schema = definition.get("inputSchema")
    if not isinstance(schema, dict):
        return None
    options = FancyRegexOptions(backtrack_limit=BACKTRACKING)
    try:
        size, rings = _unfolded(schema, "#", ())
        engine = validator_for(schema, pattern_options=options, offline=True)
    except (ValidationError, ReferencingError, TypeError, ValueError):
        return None
    return Validator(engine, size, rings)


def require_valid(validator: Validator | None, arguments: Mapping[str, Any], offer: Offer) -> None:
    """`Refused` (`invalid`) unless the arguments fit; `data` names every violation, or the first
    where it would cost too much to look for all.

    The sentence holds no values: it goes into the ledger.
    """
    found = _violations(validator, arguments) if validator is not None else []
    if found:
        places = ", ".join(dict.fromkeys(f"`{one['at']}`" for one in found))
        raise Refused(
            f"the arguments violate the schema of tool `{offer.tool.name}` of server "
            f"`{offer.server.name}` at {places}",
            code="invalid",
            data={"violations": found},
        )


def _violations(validator: Validator, arguments: Mapping[str, Any]) -> list[dict[str, str]]:
    cost = _cost(validator, arguments)
    if cost > MOST_CHECKED:  # unchecked is not valid
        return [{"at": "/", "what": "too much, or too deep, to be checked against its schema"}]
    if validator.engine.is_valid(arguments):
        return []
    found = [
        {
            "at": "".join(f"/{_escaped(step)}" for step in error.instance_path) or "/",
            "what": error.message[:500],
        }
        for error in _errors(validator.engine, arguments, cost)
    ]
    return sorted(found, key=lambda one: (one["at"], one["what"]))


def _errors(engine: Engine, arguments: Mapping[str, Any], cost: int) -> Sequence[ValidationError]:
    if cost <= MOST_TOLD:
        return list(islice(engine.iter_errors(arguments), MOST_VIOLATIONS))
    try:
        engine.validate(arguments)
    except ValidationError as first:
        return [first]
    return []


def _cost(validator: Validator, arguments: object) -> int:
    """How often the engine may have to look at a value, at the most."""
    nodes, deepest, left = 0, 0, [(arguments, 0)]
    while left and nodes <= MOST_CHECKED:
        one, depth = left.pop()
        nodes, deepest = nodes + 1, max(deepest, depth)
        below = one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()
        left += ((value, depth + 1) for value in below)
    again: int = max(1, validator.rings) ** min(deepest, 64)
    return validator.size * nodes * again


def _unfolded(schema: Mapping[str, Any], ref: str, on_the_way: tuple[str, ...]) -> tuple[int, int]:
    """Size and rings of what `ref` names in `schema`; `ValueError` where that is not for us."""
    if len(on_the_way) > DEEPEST:
        raise ValueError
    size, rings, left = 0, 0, [_target(schema, ref)]
    while left:
        one = left.pop()
        size += 1
        if isinstance(one, dict):
            left += one.values()
            more, again = _referred(schema, one, (*on_the_way, ref))
            size, rings = size + more, rings + again
        elif isinstance(one, list):
            left += one
        if size > MOST_TOLD:
            raise ValueError
    return size, rings


def _referred(
    schema: Mapping[str, Any], node: Mapping[str, Any], on_the_way: tuple[str, ...]
) -> tuple[int, int]:
    if "$dynamicRef" in node or ("$id" in node and node is not schema):
        raise ValueError  # then names mean other places than they seem to
    size, rings = 0, 0
    for ref in (node.get("$ref"), node.get("$recursiveRef")):
        if isinstance(ref, str) and ref in on_the_way:
            rings += 1
        elif isinstance(ref, str):
            more, again = _unfolded(schema, ref, on_the_way)
            size, rings = size + more, rings + again
    return size, rings


def _target(schema: Mapping[str, Any], ref: str) -> object:
    target: Any = schema
    if ref != "#" and not ref.startswith("#/"):
        raise ValueError
    for step in ref.split("/")[1:]:
        name = unquote(step).replace("~1", "/").replace("~0", "~")
        target = target.get(name) if isinstance(target, dict) else None
    return target


def _escaped(step: str | int) -> str:
    """A reference token of a JSON Pointer (RFC 6901 §3)."""
    return str(step).replace("~", "~0").replace("/", "~1")
