"""One suite for the dicts and for both databases."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from interlock.bus import Raw, Stamp
from interlock.contracts.access import AgentRecord
from interlock.contracts.changes import AgentRegistered
from interlock.contracts.ids import Digest
from interlock.state import AGENTS, ISSUERS
from interlock.storage.database import Database
from interlock.storage.migrate import migrate
from interlock.storage.outbox import unpublished_facts, unwritten_entries
from interlock.testing.migrations import assert_migrations_match
from services.auth.model import Identity, Judged, Person, SigningKey, Tenant
from services.auth.store import (
    METADATA,
    MemoryStore,
    MemorySubmissions,
    Records,
    SqlStore,
    SqlSubmissions,
    Store,
    Submissions,
)
from tests.components.fixtures import EMPTY
from tests.services.auth.conftest import MIGRATIONS
from tests.services.auth.rig import KEYRING, NOON, OLGA, Clock

FACT = AgentRegistered(by=OLGA, tenant="default", name="copilot", version=1)
RAW = Stamp("auth", KEYRING, Clock()).state(FACT, "event-1", None, None)


def told(text: str) -> list[Raw]:
    return [RAW._replace(body=text.encode())]


def judged(message: str, ref: str | None = None, request: str = "a") -> Judged:
    return Judged(
        message=Digest(message),
        ref=None if ref is None else ("default", "copilot", ref),
        request=Digest(request),
        effects=told(f"effects of {message}"),
        reused=lambda: told(f"refusal of {message}"),
    )


def texts(effects: Sequence[Sequence[Raw]]) -> list[str]:
    return [one.body.decode() for each in effects for one in each]


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str | None:
    if request.param == "memory":
        return None
    found: str = request.getfixturevalue(f"{request.param}_url")
    return found


@pytest.fixture
async def database(url: str | None) -> AsyncIterator[Database | None]:
    if url is None:
        yield None
        return
    database = Database(url, schema="auth")
    await migrate(database, MIGRATIONS)
    yield database
    await database.close()


@pytest.fixture
def store(database: Database | None) -> Store:
    return MemoryStore() if database is None else SqlStore(database)


@pytest.fixture
def submissions(database: Database | None) -> Submissions:
    return MemorySubmissions() if database is None else SqlSubmissions(database)


def agent(name: str = "copilot", tenant: str = "default") -> AgentRecord:
    return AgentRecord(tenant=tenant, name=name)


async def test_a_record_is_found_listed_and_removed(store: Store) -> None:
    def put(records: Records) -> list[int]:
        return [
            records.put(AGENTS, "default", "copilot", agent()),
            records.put(AGENTS, "default", "copilot", agent()),
            records.put(AGENTS, "default", "analyst", agent("analyst")),
            records.put(AGENTS, "other", "copilot", agent(tenant="other")),
        ]

    assert await store.change(put) == [1, 2, 1, 1]
    listed = await store.read(lambda records: records.of(AGENTS, "default"))
    assert list(listed.items()) == [("analyst", agent("analyst")), ("copilot", agent())]
    holders = await store.read(lambda records: records.holders(AGENTS, "copilot"))
    assert sorted(holders) == ["default", "other"]
    assert await store.change(lambda it: it.put(AGENTS, "default", "copilot", None)) == 3
    assert await store.change(lambda it: it.get(AGENTS, "default", "copilot")) is None
    assert await store.read(lambda it: it.holders(AGENTS, "copilot")) == ["other"]
    assert not await store.read(lambda it: it.of(ISSUERS, "default"))


async def test_a_change_that_fails_leaves_nothing(store: Store) -> None:
    def work(records: Records) -> None:
        records.put(AGENTS, "default", "copilot", agent())
        records.add_tenant("default", NOON)
        raise ValueError

    with pytest.raises(ValueError):
        await store.change(work)
    assert await store.read(lambda it: (it.of(AGENTS, "default"), list(it.tenants()))) == ({}, [])


async def test_a_tenant_is_added_once(store: Store) -> None:
    assert await store.change(lambda it: it.add_tenant("default", NOON))
    assert not await store.change(lambda it: it.add_tenant("default", NOON))
    assert list(await store.read(lambda it: it.tenants())) == ["default"]


async def test_a_tenant_is_disabled_and_enabled(store: Store) -> None:
    await store.change(lambda it: it.add_tenant("acme", NOON))
    found = await store.change(lambda it: it.tenant("acme"))
    assert found == Tenant("acme", NOON)
    shut = Tenant("acme", NOON, NOON + timedelta(hours=1))
    await store.change(lambda it: it.keep_tenant(shut))
    assert await store.read(lambda it: it.tenant("acme")) == shut
    await store.change(lambda it: it.keep_tenant(Tenant("acme", NOON)))
    assert await store.read(lambda it: it.tenant("acme")) == Tenant("acme", NOON)
    assert await store.read(lambda it: it.tenant("other")) is None


async def test_people_are_one_tenant_s_and_an_identity_is_one_person_s(store: Store) -> None:
    one, two = Identity("https://id", "1"), Identity("https://id", "2")
    ana, bob = Person("acme", "ana", NOON), Person("acme", "bob", NOON, "Bob", "bob@acme.example")
    theirs = Person("other", "ana", NOON)
    assert await store.change(lambda it: [it.add_person(bob), it.add_person(ana)]) == [True, True]
    assert await store.change(lambda it: it.add_person(theirs))
    assert not await store.change(lambda it: it.add_person(replace(ana, email="x@y")))
    linked = replace(ana, display_name="Ana", identities=(one, two), erased_at=NOON)
    assert await store.change(lambda it: it.keep_person(linked)) is None
    assert await store.change(lambda it: it.keep_person(replace(theirs, identities=(one,)))) is None
    assert await store.change(lambda it: it.person("acme", "ana")) == linked
    assert list(await store.read(lambda it: it.people("acme"))) == [linked, bob]
    with pytest.raises(ValueError):
        await store.change(lambda it: taken(it, replace(bob, identities=(two,))))
    assert await store.change(lambda it: it.keep_person(replace(linked, identities=(one,)))) is None
    assert await store.change(lambda it: it.keep_person(replace(bob, identities=(two,)))) is None
    assert await store.read(lambda it: it.person("acme", "nobody")) is None


def taken(records: Records, person: Person) -> None:
    """As whoever asks must: nothing is committed."""
    if records.keep_person(person) is not None:
        raise ValueError


async def test_signing_keys_are_kept_replaced_and_forgotten(store: Store) -> None:
    key = SigningKey("k1", "{}", "sealed", NOON)
    await store.change(lambda it: it.keep_signing_key(key))
    ends = replace(key, published_until=NOON + timedelta(minutes=11))
    await store.change(lambda it: it.keep_signing_key(ends))
    assert list(await store.change(lambda it: it.signing_keys())) == [ends]
    await store.change(lambda it: it.forget_signing_key("k1"))
    assert list(await store.read(lambda it: it.signing_keys())) == []


async def test_records_and_facts_wait_for_the_relay(
    store: Store, database: Database | None
) -> None:
    def work(records: Records) -> None:
        records.put(AGENTS, "default", "copilot", agent())
        records.state(RAW)

    await store.change(work)
    if database is not None:
        (entry,) = await database.read(lambda it: unwritten_entries(it, 10))
        assert AgentRecord.model_validate_json(entry.body or b"") == agent()
        assert await database.read(lambda it: unpublished_facts(it, 10)) == [RAW]


async def test_a_message_is_judged_once(submissions: Submissions) -> None:
    first = await submissions.once([judged("m1", "r1"), judged("m2")], NOON)
    assert texts(first) == ["effects of m1", "effects of m2"]
    other = [replace(judged("m1"), effects=told("x")), replace(judged("m2", "r2"), effects=[])]
    assert await submissions.once(other, NOON) == first


async def test_the_same_request_under_a_reference_states_the_first_one_s_facts(
    submissions: Submissions,
) -> None:
    await submissions.once([judged("m1", "r1")], NOON)
    assert texts(await submissions.once([judged("m2", "r1")], NOON)) == ["effects of m1"]


async def test_another_request_under_a_reference_is_refused_also_when_it_comes_again(
    submissions: Submissions,
) -> None:
    await submissions.once([judged("m1", "r1")], NOON)
    for _ in range(2):
        again = await submissions.once([judged("m2", "r1", "b")], NOON)
        assert texts(again) == ["refusal of m2"]


async def test_within_one_batch_the_first_of_a_reference_has_it(submissions: Submissions) -> None:
    batch = [
        judged("m1", "r1"),
        judged("m1", "r1"),
        judged("m2", "r1"),
        judged("m3", "r1", "b"),
        judged("m4"),
    ]
    assert texts(await submissions.once(batch, NOON)) == [
        "effects of m1",
        "effects of m1",
        "effects of m1",
        "refusal of m3",
        "effects of m4",
    ]


async def test_of_batches_at_once_one_wins_each_reference(submissions: Submissions) -> None:
    batches = [
        [judged(f"m{n}-{r}", f"r{r}") for r in range(8)][:: 1 - 2 * (n % 2)] for n in range(6)
    ]
    results = await asyncio.gather(*(submissions.once(batch, NOON) for batch in batches))
    told_of: dict[str, set[str]] = {}
    for batch, effects in zip(batches, results, strict=True):
        for one, text in zip(batch, texts(effects), strict=True):
            assert one.ref is not None
            told_of.setdefault(one.ref[2], set()).add(text)
    assert {len(found) for found in told_of.values()} == {1}
    assert len(told_of) == 8


async def test_what_is_old_is_forgotten(submissions: Submissions) -> None:
    await submissions.once([judged("m1", "r1")], NOON)
    await submissions.once([judged("m2", "r2")], NOON + timedelta(days=1))
    await submissions.forget(NOON + timedelta(days=1))
    assert texts(await submissions.once([judged("m3", "r1")], NOON)) == ["effects of m3"]
    assert texts(await submissions.once([judged("m4", "r2")], NOON)) == ["effects of m2"]


@EMPTY
async def test_the_migrations_make_the_tables(database_url: str) -> None:
    await assert_migrations_match(database_url, MIGRATIONS, METADATA)
