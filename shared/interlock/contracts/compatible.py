"""Whether a changed JSON Schema still takes every message that the committed one took."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]

LIMITS = {
    "minLength": 1,
    "minimum": 1,
    "minItems": 1,
    "maxLength": -1,
    "maximum": -1,
    "maxItems": -1,
}
"""The sign says which way a limit grows tighter."""
SAME = ("const", "pattern", "format", "additionalProperties", "x-topic")


def breaks(old: Schema, new: Schema) -> list[str]:
    """What broke: a field gone or newly required, a value no longer taken. Additions are fine."""
    return list(_differences("$", _inlined(old, old), _inlined(new, new)))


def _inlined(schema: Any, root: Schema) -> Any:
    """The schema without references (ours are never recursive)."""
    if isinstance(schema, list):
        return [_inlined(one, root) for one in schema]
    if not isinstance(schema, Mapping):
        return schema
    if "$ref" in schema:
        return _inlined(root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    return {name: _inlined(part, root) for name, part in schema.items() if name != "$defs"}


def _alternatives(schema: Schema) -> list[Schema]:
    found: list[Schema] = schema.get("anyOf") or schema.get("oneOf") or [schema]
    return found


def _differences(at: str, old: Schema, new: Schema) -> Iterator[str]:
    """Each alternative of the old one must fit some alternative of the new one."""
    for branch in _alternatives(old):
        tried = [list(_narrowed(at, branch, choice)) for choice in _alternatives(new)]
        if all(tried):
            yield from min(tried, key=len)


def _narrowed(at: str, old: Schema, new: Schema) -> Iterator[str]:
    if "type" in new and new["type"] not in {old.get("type"), _wider(old.get("type"))}:
        yield f"`{at}` takes `{new['type']}`, not `{old.get('type', 'anything')}`"
        return
    if "enum" in new and (lost := set(old.get("enum", ["anything"])) - set(new["enum"])):
        yield f"`{at}` takes no `{'`, `'.join(sorted(map(str, lost)))}` any more"
    for rule in SAME:
        if rule in new and new[rule] != old.get(rule):
            yield f"`{at}` now asks for {rule} `{json.dumps(new[rule])}`"
    for rule, sign in LIMITS.items():
        if rule in new and (rule not in old or sign * new[rule] > sign * old[rule]):
            yield f"`{at}` has a tighter {rule}, `{new[rule]}`"
    yield from _fields(at, old, new)
    if "items" in old and "items" in new:
        yield from _differences(f"{at}[]", old["items"], new["items"])


def _fields(at: str, old: Schema, new: Schema) -> Iterator[str]:
    before, after = old.get("properties", {}), new.get("properties", {})
    yield from (f"`{at}.{name}` was removed" for name in before if name not in after)
    required = set(new.get("required", ())) - set(old.get("required", ()))
    yield from (f"`{at}.{name}` became required" for name in sorted(required))
    for name in sorted(before.keys() & after.keys()):
        yield from _differences(f"{at}.{name}", before[name], after[name])


def _wider(kind: str | None) -> str | None:
    return "number" if kind == "integer" else None
