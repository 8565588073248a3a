"""Reading JSON without losing its text."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.invocation.clients.text import elements, members

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False, width=32),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
).filter(lambda value: "Infinity" not in json.dumps(value))
INDENTS = st.none() | st.integers(0, 3)


@given(st.dictionaries(st.text(), VALUES), INDENTS, st.booleans())
def test_members_keep_their_text_whatever_the_layout(
    value: dict[str, object], indent: int | None, ascii_only: bool
) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    found = members(text)
    assert {name: span.value for name, span in found.items()} == value
    for span in found.values():
        assert span.text in text
        assert json.loads(span.text) == span.value


@given(st.lists(VALUES), INDENTS)
def test_elements_keep_their_text_whatever_the_layout(
    value: list[object], indent: int | None
) -> None:
    found = elements(json.dumps(value, indent=indent))
    assert [json.loads(span.text) for span in found] == value


def test_numbers_keep_every_digit() -> None:
    text = '{"result": {"exact": 0.10000000000000000001, "big": 12345678901234567890123 } }'
    span = members(text)["result"]
    assert span.text == '{"exact": 0.10000000000000000001, "big": 12345678901234567890123 }'


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"a"}',
        '{"a":}',
        '{"a":1,}',
        '{"a":1} x',
        '{"a":1 "b":2}',
        "{a:1}",
        '{"a":NaN}',
        '{"a":1,"a":2}',
        '{"a":' + "[" * 100_000,
    ],
)
def test_what_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        members(text)


@pytest.mark.parametrize("text", ["", "{}", "[", "[1,]", "[1 2]", "[1]]"])
def test_what_is_no_array_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        elements(text)
