"""Policies and permissions in versions: every change is one, seen by every replica."""

import asyncio
from pathlib import Path

import pytest

from interlock.contracts.access import PermissionRecord, PolicySetRecord
from interlock.errors import Refused
from interlock.state import POLICY
from interlock.state.memory import MemoryState
from interlock.storage import Database, migrate
from interlock.storage.outbox import unpublished_facts, unwritten_entries
from interlock.testing import build
from services.policy.store import SqlDecisions, SqlSets
from services.policy.store.folder import read_folder
from tests.services.policy.world import HOLD_BIG, World

FINE = "permit (principal, action, resource);"
CLOSED = "forbid (principal, action, resource);"
BY = build.person("rita")


async def test_every_change_is_a_version_and_all_of_them_stay(world: World) -> None:
    made = await world.rulebook.put("acme", "more", FINE, BY)
    assert (made.record.version, made.by, made.what) == (3, "person:rita", "more")
    await world.rulebook.put("acme", "more", CLOSED, BY)
    await world.rulebook.delete("acme", "more", BY)
    history = await world.sets.history("acme", 10)
    assert [one.record.version for one in history] == [5, 4, 3, 2, 1]
    third = await world.sets.get("acme", 3)
    assert third is not None
    assert [one.text for one in third.record.policies] == [HOLD_BIG, FINE]
    assert await world.sets.get("acme", 9) is None
    assert await world.sets.get("other") is None


async def test_the_same_again_is_no_version(world: World) -> None:
    assert (await world.rulebook.put("acme", "exports", HOLD_BIG, BY)).record.version == 2


async def test_a_wrong_policy_changes_nothing(world: World) -> None:
    with pytest.raises(Refused, match=r"`more\.cedar:1:8`") as refused:
        await world.rulebook.put("acme", "more", "permit principal;", BY)
    assert refused.value.code == "invalid_policy"
    assert world.rulebook.of("acme").version == 2
    assert await world.sets.versions() == {"acme": 2}


async def test_permissions_are_part_of_the_version(world: World) -> None:
    made = await world.rulebook.permit("copilot", ("b", "a", "a"), ("c", "a"), BY)
    assert PermissionRecord(agent="copilot", permissions=("a", "b"), with_approval=("c",)) in (
        made.record.permissions
    )
    gone = await world.rulebook.permit("copilot", (), (), BY)
    assert {one.agent for one in gone.record.permissions} == {"sales-copilot"}


async def test_another_replica_sees_a_change_when_it_looks(world: World) -> None:
    other = await world.replica()
    await world.rulebook.put("acme", "closed", CLOSED, BY)
    assert other.rulebook.of("acme").version == 2
    await other.rulebook.refresh()
    assert other.rulebook.of("acme").version == 3
    assert "closed#1" in other.rulebook.of("acme").rules


async def test_of_two_changes_at_once_none_is_lost(world: World) -> None:
    other = await world.replica()
    both = await asyncio.gather(
        world.rulebook.put("acme", "one", FINE, BY),
        other.rulebook.put("acme", "two", FINE, BY),
        return_exceptions=True,
    )
    failed = [one for one in both if isinstance(one, BaseException)]
    assert all(isinstance(one, Refused) and one.code == "conflict" for one in failed)
    await world.rulebook.refresh()
    names = {one.name for one in world.rulebook.newest("acme").record.policies}
    assert len(names) == 3 - len(failed)


async def test_tenants_have_nothing_in_common(world: World) -> None:
    await world.rulebook.put("other", "closed", CLOSED, build.person(tenant="other"))
    assert world.rulebook.of("acme").version == 2
    assert world.rulebook.of("other").version == 1
    assert world.rulebook.of("nobody").version == 0


async def test_a_version_is_published_and_stated_with_its_row(database_url: str) -> None:
    database = Database(database_url, schema="policy")
    await migrate(database, "services.policy.migrations")
    world = await World(SqlDecisions(database), SqlSets(database), MemoryState()).start()
    await world.rulebook.put("acme", "closed", CLOSED, BY)
    (entry,) = await database.read(lambda connection: unwritten_entries(connection, 10))
    assert (entry.kind, entry.tenant, entry.field) == (POLICY.name, "acme", "set")
    assert entry.body is not None
    assert PolicySetRecord.model_validate_json(entry.body) == (world.rulebook.newest("acme").record)
    facts = await database.read(lambda connection: unpublished_facts(connection, 10))
    assert {fact.attributes["ce_type"] for fact in facts} == {"interlock.policy.published.v1"}
    assert len({fact.id for fact in facts}) == 3
    await database.close()


# -- the operator's folder ------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "policies"
    made.mkdir()
    (made / "closed.cedar").write_text(CLOSED)
    (made / "notes.txt").write_text("no policy")
    return made


async def test_a_folder_is_in_force_and_a_version_only_where_it_differs(
    world: World, folder: Path
) -> None:
    made = await world.rulebook.take_folder("acme", read_folder(folder))
    assert made.record.version == 3
    assert [one.name for one in made.record.policies] == ["closed", "exports"]
    again = await (await world.replica()).rulebook.take_folder("acme", read_folder(folder))
    assert again.record.version == 3
    (folder / "closed.cedar").unlink()
    (folder / "open.cedar").write_text(FINE)
    changed = await world.rulebook.take_folder("acme", read_folder(folder))
    assert [one.name for one in changed.record.policies] == ["exports", "open"]


async def test_replicas_that_start_at_once_take_the_folder_once(world: World, folder: Path) -> None:
    others = [await world.replica() for _ in range(3)]
    texts = read_folder(folder)
    made = await asyncio.gather(*(one.rulebook.take_folder("acme", texts) for one in others))
    assert {one.record.version for one in made} == {3}


async def test_the_folders_policies_are_changed_in_the_folder(twin: World, folder: Path) -> None:
    await twin.rulebook.take_folder("acme", read_folder(folder))
    for change in (
        twin.rulebook.put("acme", "closed", FINE, BY),
        twin.rulebook.delete("acme", "closed", BY),
    ):
        with pytest.raises(Refused, match="operator's folder"):
            await change


async def test_a_broken_file_is_refused_with_its_place(twin: World, folder: Path) -> None:
    (folder / "broken.cedar").write_text("\n\n  permit (principal, action);")
    with pytest.raises(Refused, match=r"`broken\.cedar:3:3`: .*missing the `resource`"):
        await twin.rulebook.take_folder("acme", read_folder(folder))
    assert twin.rulebook.of("acme").version == 2


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("Not A Name.cedar", b"", "cannot name"),
        ("a.cedar", b"\xff\xfe", "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_one_is_refused(
    folder: Path, name: str, content: bytes, why: str
) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(Refused, match=why):
        read_folder(folder)


def test_a_folder_that_is_not_there_is_refused(folder: Path) -> None:
    with pytest.raises(Refused, match="INTERLOCK_POLICY_FOLDER"):
        read_folder(folder / "nowhere")
