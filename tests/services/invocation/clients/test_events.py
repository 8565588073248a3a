"""Server-sent events, however the network cuts them."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.invocation.clients.events import EventReader, TooLarge
from services.invocation.clients.text import LARGEST

STREAM = (
    ": a comment\n\n"
    "event: message\ndata: {one}\n\n"
    "id: 7\r\ndata: two\r\ndata:lines\r\n\r\n"
    "event: other\ndata: not ours\n\n"
    "data: grüße\n\n"
).encode()
EXPECTED = [b"{one}", b"two\nlines", "grüße".encode()]


@given(st.lists(st.integers(0, len(STREAM))))
def test_events_are_the_same_however_the_stream_is_cut(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(STREAM)]
    reader = EventReader()
    found = [
        event
        for start, end in itertools.pairwise(places)
        for event in reader.feed(STREAM[start:end])
    ]
    assert found == EXPECTED


def test_an_event_that_is_not_ended_is_not_one() -> None:
    assert EventReader().feed(b"data: half\n") == []


def test_a_stream_may_not_grow_without_end() -> None:
    reader = EventReader()
    reader.feed(b"data: " + b"x" * (LARGEST - 6))
    with pytest.raises(TooLarge):
        reader.feed(b"y")
