"""Exact text: what is cut is what came, whatever JSON allows around it."""

import json

from hypothesis import given
from hypothesis import strategies as st

from services.gateway.decide.text import cut, members, with_members

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def test_numbers_and_spaces_are_kept_as_they_were_written() -> None:
    text = '{ "id" : 1, "params" : {"a":"}", "arguments" : {"n": 1.10,  "e": 1E3 } } }'
    assert cut(text, "params", "arguments") == '{"n": 1.10,  "e": 1E3 }'
    assert cut(f" \n{text}", "params", "arguments") == '{"n": 1.10,  "e": 1E3 }'


def test_what_is_not_there_is_nothing() -> None:
    assert cut('{"params":{}}', "params", "arguments") is None
    assert cut('{"params":[1]}', "params", "arguments") is None
    assert cut("{}", "params") is None


@given(st.dictionaries(st.text(), JSON, max_size=5), st.sampled_from([None, 1]))
def test_every_member_is_cut_whole(value: dict[str, object], indent: int | None) -> None:
    text = json.dumps(value, indent=indent)
    found = {name: json.loads(text[a:b]) for name, (a, b) in members(text).items()}
    assert found == value
    assert {name: json.loads(cut(text, name) or "") for name in value} == value


def test_members_are_added_and_replaced_and_all_else_stays() -> None:
    text = '{"content": [1.10], "_meta": {"x":1}}'
    made = with_members(text, members(text), {"_meta": '{"y":2}', "resultType": '"complete"'})
    assert made == '{"resultType":"complete","content": [1.10], "_meta": {"y":2}}'
    assert with_members("{}", {}, {"a": "1"}) == '{"a":1}'
