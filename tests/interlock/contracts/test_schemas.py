"""Exported schemas: what is committed is what runs, and it only ever grows."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from interlock.contracts.compatible import breaks
from interlock.contracts.export import exported, schema_of
from interlock.contracts.outcomes import TaskDenied
from interlock.contracts.registry import MESSAGES

FOLDER = Path(__file__).parents[3] / "docs" / "schemas"
SAMPLES = Path(__file__).parent / "samples"


@pytest.mark.parametrize("wire_type", MESSAGES)
def test_no_message_changed_what_it_takes(wire_type: str) -> None:
    committed = json.loads((FOLDER / f"{wire_type}.json").read_text())
    assert breaks(committed, schema_of(MESSAGES[wire_type])) == []


def test_the_committed_schemas_are_those_of_the_code() -> None:
    committed = {path.name: path.read_text() for path in FOLDER.glob("*.json")}
    assert committed == exported(), "run `python -m interlock.contracts.export`"


@pytest.mark.parametrize("wire_type", MESSAGES)
def test_every_sample_fits_its_schema(wire_type: str) -> None:
    schema = schema_of(MESSAGES[wire_type])
    sample = json.loads((SAMPLES / f"{wire_type}.json").read_text())
    Draft202012Validator(schema).validate(sample["body"])


def changed(path: str, value: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """A schema, and the same with the part at `path` set to `value` (None: taken away)."""
    old: dict[str, Any] = schema_of(TaskDenied)
    new = copy.deepcopy(old)
    *way, last = path.split("/")
    part = new
    for step in way:
        part = part[step]
    if value is None:
        del part[last]
    else:
        part[last] = value
    return old, new


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("properties/reason", None, "`$.reason` was removed"),
        ("$defs/Task/properties/round", None, "`$.task.round` was removed"),
        ("required", ["task", "because"], "`$.because` became required"),
        ("properties/reason/type", "integer", "`$.reason` takes `integer`, not `string`"),
        ("properties/because/items/type", "integer", "`$.because[]` takes"),
        ("properties/reason/maxLength", 3, "`$.reason` has a tighter maxLength"),
        ("$defs/Principal/properties/name/minLength", 2, "`$.by.name` has a tighter minLength"),
        ("$defs/TaskKind/enum", ["call"], "`$.task.kind` takes no `complete`"),
        ("$defs/Principal/properties/tenant/pattern", "^x$", "now asks for pattern"),
        ("$defs/Principal/properties/user", {"type": "string"}, "user` takes `string`, not `null`"),
        ("x-topic", "task.control", "now asks for x-topic"),
    ],
)
def test_a_change_that_breaks_readers_or_writers_is_named(path: str, value: Any, said: str) -> None:
    assert said in " ".join(breaks(*changed(path, value)))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("properties/more", {"type": "string", "default": ""}),
        ("properties/reason/description", "why"),
        ("$defs/Principal/properties/name/maxLength", 500),
        ("$defs/Principal/properties/name/minLength", None),
        ("properties/policy_version/type", "number"),
        ("properties/code", {"anyOf": [{"type": "string"}, {"type": "null"}]}),
        ("$defs/TaskKind/enum", ["call", "complete", "delegate", "inspect", "prompt", "read", "x"]),
    ],
)
def test_an_addition_breaks_nothing(path: str, value: Any) -> None:
    assert breaks(*changed(path, value)) == []
