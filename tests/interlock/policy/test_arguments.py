"""One mapping takes arguments to Cedar, for any JSON."""

import json
from decimal import Decimal
from typing import Any

import orjson
import pytest
from cedarpy import Decision, Entities, PolicySet, is_authorized
from hypothesis import example, given
from hypothesis import strategies as st

from interlock.policy.arguments import Unrepresentable, arguments_for_cedar

ANYTHING = PolicySet.from_str("permit (principal, action, resource);")
NOBODY = Entities.from_json_str("[]")
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
NAMES = TEXT | st.sampled_from(["__entity", "__extn", "__expr", "___extn", "__number", "type"])
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**64), 2**64)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


def taken(mapped: dict[str, Any]) -> bool:
    """Whether Cedar itself takes it."""
    request = {
        "principal": {"type": "A", "id": "a"},
        "action": {"type": "Action", "id": "call"},
        "resource": {"type": "T", "id": "t"},
        "context": orjson.dumps({"arguments": mapped}).decode(),
    }
    return is_authorized(request, ANYTHING, NOBODY).decision is Decision.Allow


@given(st.dictionaries(NAMES, VALUES, max_size=5))
def test_cedar_takes_any_json_object(arguments: dict[str, Any]) -> None:
    assert taken(arguments_for_cedar(json.dumps(arguments)))


@given(st.dictionaries(NAMES, VALUES.filter(lambda value: value is not None), max_size=5))
def test_no_two_names_become_one_and_none_is_lost(arguments: dict[str, Any]) -> None:
    assert len(arguments_for_cedar(json.dumps(arguments))) == len(arguments)


@given(st.integers())
def test_an_integer_is_a_long_or_says_that_it_is_none(number: int) -> None:
    (value,) = arguments_for_cedar(json.dumps({"n": number})).values()
    if -(2**63) <= number < 2**63:
        assert value == number
    else:
        assert value == {"__number": str(number)}


@example(Decimal("922337203685477.5807"))
@example(Decimal("-922337203685477.5808"))
@example(Decimal("922337203685477.5808"))
@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20))
def test_a_fraction_is_exactly_that_decimal_or_says_that_it_is_none(number: Decimal) -> None:
    text = f"{number:f}"
    if "." not in text:
        text += ".0"
    (value,) = arguments_for_cedar(f'{{"n":{text}}}').values()
    if "__number" in value:
        assert value["__number"] == text
        fraction = text.partition(".")[2]
        assert len(fraction) > 4 or abs(number) * 10_000 >= 2**63 - 1
    else:
        assert value == {"__extn": {"fn": "decimal", "arg": text}}
        assert taken({"n": value})


@pytest.mark.parametrize(
    ("text", "mapped"),
    [
        ('{"a":null,"b":[null,1,[null]]}', {"b": [1, []]}),
        ('{"__entity":{"type":"Agent","id":"x"}}', {"___entity": {"type": "Agent", "id": "x"}}),
        (
            '{"a":{"__extn":{"fn":"ip","arg":"::1"}}}',
            {"a": {"___extn": {"fn": "ip", "arg": "::1"}}},
        ),
        ('{"___extn":1,"__extn":2}', {"____extn": 1, "___extn": 2}),
        ('{"__number":"1"}', {"___number": "1"}),
        ('{"n":1e2}', {"n": {"__number": "1e2"}}),
        ('{"n":-0.5}', {"n": {"__extn": {"fn": "decimal", "arg": "-0.5"}}}),
        ('{"t":true}', {"t": True}),
    ],
)
def test_the_table_of_the_mapping(text: str, mapped: dict[str, Any]) -> None:
    assert arguments_for_cedar(text) == mapped
    assert taken(mapped)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"a":1,"a":1}', "name `a` twice"),
        ('{"x":{"a":1,"a":null}}', "name `a` twice"),
        ('{"a":Infinity}', "`Infinity` is no number"),
        ("[1]", "no JSON object"),
        ('{"a":' + "9" * 5000 + "}", "cannot be read"),
        ("{'a':1}", "cannot be read"),
    ],
)
def test_what_is_no_json_object_has_no_value(text: str, why: str) -> None:
    with pytest.raises(Unrepresentable, match=why):
        arguments_for_cedar(text)
