"""The whole service in a process of the suite, on a real Valkey."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from interlock.bus import Arrival, Group
from interlock.contracts.outcomes import TaskDenied
from interlock.contracts.requests import CallAuthorized, TaskAuthenticated
from interlock.contracts.task import Task
from interlock.errors import Refused
from interlock.identity.keys import load_signer
from interlock.identity.statements import Identity, sign_identity, verify_grant
from interlock.runtime.host import Running
from interlock.runtime.main import serving
from interlock.runtime.settings import SuiteSettings
from interlock.state.port import Entry
from services.policy.__main__ import service
from tests.interlock.policy.build import server
from tests.services.policy.world import SMALL, task

PERMIT = 'permit (principal == Agent::"sales-copilot", action == Action::"call", resource);'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = tmp_path / "policies"
    made.mkdir()
    (made / "sales.cedar").write_text(PERMIT)
    monkeypatch.setenv("INTERLOCK_POLICY_FOLDER", str(made))
    monkeypatch.setenv("INTERLOCK_POLICY_TENANT", "acme")
    return made


@asynccontextmanager
async def running(data: Path, redis_url: str) -> AsyncIterator[Running]:
    settings = SuiteSettings(data=data, bus_url=redis_url, port=0)
    async with serving([service], settings) as (one,):
        yield one


async def ask(one: Running, wanted: Task) -> None:
    """What the gateway does, with the keys of this suite."""
    signer = load_signer(one.host.suite.keys_folder, "gateway", create=True)
    statement = sign_identity(signer, Identity.of(wanted))
    fact = TaskAuthenticated(task=wanted, arguments=SMALL, identity=statement)
    stamped = one.host.stamp.state(fact, f"asked-{wanted.id}", None, None)
    await one.host.bus.publish([stamped])


async def facts(one: Running, count: int) -> list[object]:
    """The first facts that policy states of tasks."""
    found: list[object] = []
    enough = asyncio.Event()

    async def keep(arrivals: Sequence[Arrival]) -> None:
        found.extend(a.fact for a in arrivals if isinstance(a.fact, CallAuthorized | TaskDenied))
        if len(found) >= count:
            enough.set()

    audit = asyncio.create_task(one.host.bus.run(Group("audit", keep=keep)))
    await asyncio.wait_for(enough.wait(), 30)
    audit.cancel()
    await asyncio.gather(audit, return_exceptions=True)
    return found


async def test_it_decides_what_comes_on_the_bus(
    tmp_path: Path, redis_url: str, folder: Path
) -> None:
    load_signer(tmp_path / "data" / "keys", "gateway", create=True)
    async with running(tmp_path / "data", redis_url) as one:
        body = server().model_dump_json().encode()
        await one.host.process.writer.write([Entry("catalogue", "acme", "crm", 1, body)])
        deadline = datetime.now(UTC) + timedelta(hours=1)  # noqa: TID251 - a running service's clock
        good = task(deadline=deadline)
        await ask(one, good)
        await ask(one, task("task-2", tool="nothing", deadline=deadline))
        stated = {type(fact): fact for fact in await facts(one, 2)}
        authorized, denied = stated[CallAuthorized], stated[TaskDenied]
        assert isinstance(authorized, CallAuthorized)
        assert isinstance(denied, TaskDenied)
        assert verify_grant(one.host.trust, authorized.grant, good).policy_version == 1
        assert denied.code == "not_offered"
        assert one.reasons() == []
    async with running(tmp_path / "data", redis_url) as one:
        await ask(one, good)
        again = [fact for fact in await facts(one, 1) if isinstance(fact, CallAuthorized)]
        assert again == [authorized]


async def test_a_broken_policy_file_stops_the_start_with_its_place(
    tmp_path: Path, redis_url: str, folder: Path
) -> None:
    (folder / "broken.cedar").write_text("permit (principal, action, resource)\n  when oops;")
    with pytest.raises(Refused, match=r"`broken\.cedar:2:8`"):
        async with running(tmp_path / "data", redis_url):
            pytest.fail("it started")
