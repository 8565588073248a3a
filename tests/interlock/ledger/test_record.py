"""What is kept is what was received, and any change to it changes the hash."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.bus import Raw
from interlock.contracts.topics import Topic
from interlock.errors import Unreadable
from interlock.ledger import Entry, Origin, keep, link, parts

text = st.text(st.characters(codec="utf-8"))
raws = st.builds(
    Raw, st.sampled_from(Topic), st.dictionaries(text, text, max_size=5), st.binary(max_size=200)
)
entries = st.builds(
    Entry,
    event_id=text,
    tenant=text,
    subject=text,
    arrived_at=st.integers(0, 2**53),
    kept=st.binary(max_size=100),
    fault=text,
    reason=text,
)
BEFORE = bytes(32)


@given(raws)
def test_a_message_is_kept_whole(raw: Raw) -> None:
    assert parts(keep(raw)) == (raw.topic.value, raw.attributes, raw.body)


def test_bytes_of_an_attribute_that_are_no_text_are_kept() -> None:
    strange = b"caf\xe9".decode("utf-8", "surrogateescape")
    raw = Raw(Topic.TASK_EVENTS, {"ce_id": strange}, b"{}")
    assert b"caf\xe9" in keep(raw)
    assert parts(keep(raw))[1] == raw.attributes


@given(raws, raws)
def test_two_messages_are_never_kept_alike(one: Raw, other: Raw) -> None:
    assert (keep(one) == keep(other)) == (one == other)


@given(raws, st.data())
def test_kept_bytes_that_were_cut_are_not_read(raw: Raw, data: st.DataObject) -> None:
    whole = keep(raw)
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    try:
        assert parts(cut) != parts(whole)
    except Unreadable:
        pass


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(kept: bytes) -> None:
    try:
        parts(kept)
    except Unreadable:
        pass


@given(entries, entries)
def test_two_entries_never_share_a_hash(one: Entry, other: Entry) -> None:
    assert (link(BEFORE, 0, 1, one) == link(BEFORE, 0, 1, other)) == (one == other)


@pytest.mark.parametrize(
    "change",
    [
        {"event_id": "other"},
        {"tenant": "other"},
        {"subject": "other"},
        {"arrived_at": 8},
        {"kept": b"other"},
        {"fault": "forged"},
        {"reason": "other"},
    ],
)
def test_every_field_counts(change: dict[str, object]) -> None:
    one = Entry("e", "acme", "t", 7, b"kept")
    assert link(BEFORE, 0, 1, one._replace(**change)) != link(BEFORE, 0, 1, one)  # type: ignore[arg-type]  # names and values are above


def test_the_place_and_what_was_before_count() -> None:
    one = Entry("e", "acme", "t", 7, b"kept")
    hashes = {
        link(BEFORE, 0, 1, one),
        link(BEFORE, 1, 1, one),
        link(BEFORE, 0, 2, one),
        link(bytes([1]) * 32, 0, 1, one),
    }
    assert len(hashes) == 4


def test_chains_of_different_ledgers_begin_differently() -> None:
    begins = {
        Origin("a", 2).genesis(0),
        Origin("a", 2).genesis(1),
        Origin("a", 3).genesis(0),
        Origin("b", 2).genesis(0),
    }
    assert len(begins) == 4


@given(text, text)
def test_a_task_has_one_shard(tenant: str, task: str) -> None:
    origin = Origin("a", 5)
    assert origin.shard_of(tenant, task) == origin.shard_of(tenant, task)
    assert 0 <= origin.shard_of(tenant, task) < 5
