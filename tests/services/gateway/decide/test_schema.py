"""Whether arguments fit: every violation is told, and no schema costs much."""

import time
from typing import Any

import pytest

from interlock.errors import Refused
from services.gateway.decide import schema
from services.gateway.model import Offer
from tests.services.gateway.build import SCHEMA, server

BRIEF = 2.0
"""Seconds of processor time in which nothing here comes near; a catastrophe takes hours."""


def offer() -> Offer:
    crm = server()
    return Offer(crm, crm.tools[0])


def nested(depth: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for _ in range(depth):
        found = {"not": found}
    return found


def refusal(given: Any, arguments: Any) -> Refused:
    validator = schema.validator_of({"inputSchema": given})
    assert validator is not None
    with pytest.raises(Refused) as refused:
        schema.require_valid(validator, arguments, offer())
    return refused.value


def violations(given: Any, arguments: Any) -> list[dict[str, str]]:
    found = refusal(given, arguments).data["violations"]
    assert isinstance(found, list)
    return found


def test_all_violations_are_named_by_place_and_the_sentence_holds_no_value() -> None:
    validator = schema.validator_of({"inputSchema": SCHEMA})
    with pytest.raises(Refused) as refused:
        schema.require_valid(validator, {"limit": 0, "query": {"secret": 1}}, offer())
    found = refused.value.data["violations"]
    assert isinstance(found, list)
    assert [one["at"] for one in found] == ["/limit", "/query"]
    assert "secret" not in refused.value.detail


def test_a_place_is_a_json_pointer() -> None:
    given = {"properties": {"a/b~c": {"items": {"type": "string"}}}}
    with pytest.raises(Refused) as refused:
        validator = schema.validator_of({"inputSchema": given})
        schema.require_valid(validator, {"a/b~c": ["x", 1]}, offer())
    assert refused.value.data["violations"] == [
        {"at": "/a~1b~0c/1", "what": '1 is not of type "string"'}
    ]


@pytest.mark.parametrize(
    "given", [None, {"type": 7}, {"$ref": "https://evil.example/schema.json"}, "no schema"]
)
def test_a_schema_that_cannot_judge_leaves_it_to_the_upstream(given: object) -> None:
    validator = schema.validator_of({"inputSchema": given})
    schema.require_valid(validator, {"anything": 1}, offer())


@pytest.mark.parametrize("named", [5, {}, [], "http://["], ids=str)
def test_a_schema_of_no_known_kind_leaves_it_to_the_upstream(named: object) -> None:
    validator = schema.validator_of({"inputSchema": {"$schema": named, "required": ["a"]}})
    schema.require_valid(validator, {}, offer())


def test_what_cannot_be_checked_is_refused() -> None:
    given = {"properties": {"a": {"pattern": "^(a|a)*(?=b)\\1*c$"}}}
    began = time.process_time()
    assert refusal(given, {"a": "a" * 40 + "b"}).code == "invalid"
    assert time.process_time() - began < BRIEF


def test_a_schema_deeper_than_can_be_compiled_leaves_it_to_the_upstream() -> None:
    given = nested(5_000)
    assert schema.validator_of({"inputSchema": {"properties": given}}) is None


@pytest.mark.parametrize("pattern", ["^(a+)+$", "^(a|a)*$", "^(?=(a+)+$)a", "(.*)*\\1x$"])
@pytest.mark.parametrize("where", ["pattern", "patternProperties", "unevaluatedProperties"])
def test_no_pattern_of_an_upstream_holds_the_door_up(pattern: str, where: str) -> None:
    evil = "a" * 50_000 + "!"
    schemas: dict[str, tuple[Any, Any]] = {
        "pattern": ({"properties": {"a": {"pattern": pattern}}}, {"a": evil}),
        "patternProperties": (
            {"patternProperties": {pattern: True}, "additionalProperties": False},
            {evil: 1},
        ),
        "unevaluatedProperties": (
            {"allOf": [{"patternProperties": {pattern: True}}], "unevaluatedProperties": False},
            {evil: 1},
        ),
    }
    began = time.process_time()
    assert refusal(*schemas[where]).code == "invalid"
    assert time.process_time() - began < BRIEF


def doubling(steps: int) -> Any:
    """Says the same `2 ** steps` times."""
    found: dict[str, Any] = {"s0": {"type": "string"}}
    for number in range(1, steps + 1):
        below = {"$ref": f"#/$defs/s{number - 1}"}
        found[f"s{number}"] = {"allOf": [below, below]}
    return {"$defs": found, "properties": {"a": {"$ref": f"#/$defs/s{steps}"}}}


def ring(steps: int) -> Any:
    """Each step leads to all, at the same place."""
    names = [f"#/$defs/s{number}" for number in range(steps)]
    every = {"allOf": [{"$ref": name} for name in names]}
    return {"$defs": dict.fromkeys((name[8:] for name in names), every), **every}


TREE = {
    "type": "object",
    "properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}, "n": {"type": "integer"}},
    "additionalProperties": False,
}


@pytest.mark.parametrize("given", [doubling(40), ring(12)], ids=["doubling", "ring"])
def test_a_schema_that_unfolds_without_measure_is_left_to_the_upstream(given: Any) -> None:
    began = time.process_time()
    assert schema.validator_of({"inputSchema": given}) is None
    assert time.process_time() - began < BRIEF


def test_a_schema_that_says_things_a_few_times_is_checked() -> None:
    assert violations(doubling(5), {"a": 1})[0]["at"] == "/a"


def test_a_schema_that_refers_to_itself_is_checked_as_deep_as_that_is_cheap() -> None:
    schema.require_valid(schema.validator_of({"inputSchema": TREE}), {"left": {"n": 1}}, offer())
    assert violations(TREE, {"left": {"right": {"n": "x"}}})[0]["at"] == "/left/right/n"
    deep: dict[str, Any] = {}
    for _ in range(100):
        deep = {"left": deep}
    assert "too deep" in violations(TREE, deep)[0]["what"]


def test_a_request_with_more_faults_than_anybody_reads_is_refused_for_its_first() -> None:
    given = {"properties": {"a": {"items": {"type": "string"}}}}
    assert len(violations(given, {"a": [1] * 1_000})) == schema.MOST_VIOLATIONS
    assert len(violations(given, {"a": [1] * 100_000})) == 1
    assert "too much" in violations(given, {"a": [1] * 2_000_000})[0]["what"]


def test_no_file_or_address_is_read_for_a_schema(tmp_path: Any) -> None:
    there = tmp_path / "schema.json"
    there.write_text('{"required": ["a"]}')
    assert schema.validator_of({"inputSchema": {"$ref": there.as_uri()}}) is None
