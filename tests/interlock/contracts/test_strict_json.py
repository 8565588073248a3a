"""Arguments mean the same to every reader, or they do not pass."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.contracts.strict_json import MAX_DEPTH, parse_arguments
from interlock.errors import Refused

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), VALUES), st.booleans())
def test_an_object_comes_back_with_its_text_unchanged(value: dict[str, Any], ascii: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii)
    assert parse_arguments(text) == (value, text)
    assert parse_arguments(text.encode()) == (value, text)


def test_an_integer_stays_exact() -> None:
    value, _ = parse_arguments('{"n":123456789012345678901234567890}')
    assert value == {"n": 123456789012345678901234567890}


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("[1]", "not a JSON object"),
        ("null", "not a JSON object"),
        ("", "no JSON: expecting value at line 1, column 1"),
        ('{"a":1}}', "extra data at line 1, column 8"),
        ("{'a':1}", "no JSON"),
        ('{"a":1,"b":2,"a":1}', 'the key "a" twice'),
        ('{"o":{"x\\ny":1,"x\\u000ay":2}}', r'the key "x\\ny" twice'),
        ('{"a":NaN}', "`NaN`"),
        ('{"a":-Infinity}', "`-Infinity`"),
        ('{"a":1e999}', "too large"),
        ('{"a":' + "9" * 5000 + "}", "too many digits"),
        ('{"a":["\\ud800"]}', "lone surrogate in a string at `/a/0`"),
        ('{"\\udc00":1}', "lone surrogate in a string at `/`"),
        ('{"a":"\ud800"}', "no UTF-8"),
        (b'{"a":"\xff"}', "no UTF-8"),
        (b'\xef\xbb\xbf{"a":1}', "no JSON"),
        ('{"a":' * MAX_DEPTH + "{}" + "}" * MAX_DEPTH, "deeper than `64`"),
        ('{"a":' + "[" * 100_000, "deeper than `64`"),
    ],
)
def test_what_readers_could_take_in_two_ways_is_refused(given: str | bytes, why: str) -> None:
    with pytest.raises(Refused, match=why) as refused:
        parse_arguments(given)
    assert refused.value.code == "bad_arguments"


def test_a_pair_of_surrogates_is_one_character() -> None:
    assert parse_arguments('{"a":"\\ud83d\\ude00"}')[0] == {"a": "😀"}


def test_the_deepest_that_passes_passes() -> None:
    text = '{"a":' * (MAX_DEPTH - 1) + "{}" + "}" * (MAX_DEPTH - 1)
    assert parse_arguments(text)[1] == text
