"""The service as its host runs it: built from settings, on a real broker, to a clean stop."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

from interlock.bus import Effects, Envelope, Group, Stamp, on
from interlock.contracts.access import AgentRecord
from interlock.contracts.catalogue import HttpConnection
from interlock.contracts.outcomes import TaskSucceeded
from interlock.contracts.requests import CallAuthorized
from interlock.identity.keys import load_signer
from interlock.identity.statements import Grant, sign_grant
from interlock.runtime.host import Running
from interlock.runtime.main import serving
from interlock.runtime.settings import SuiteSettings
from interlock.samples.crm import Trouble, crm_app
from interlock.state.port import Entry
from services.invocation.__main__ import service
from tests.interlock.samples.serving import serving as served
from tests.services.invocation.rig import EMPTY, server, task

ARGUMENTS = '{"query":"north"}'


async def publish(running: Running, crm: str) -> None:
    """What registry and auth would have published; returns when the service has seen it."""
    record = server(connection=HttpConnection(url=f"{crm}/mcp"))
    agent = AgentRecord(tenant="acme", name="sales-copilot")
    process = running.host.process
    await process.writer.write(
        [
            Entry("catalogue", "acme", record.name, 1, record.model_dump_json().encode()),
            Entry("agents", "acme", agent.name, 1, agent.model_dump_json().encode()),
        ]
    )


async def test_a_call_goes_through_the_whole_service(redis_url: str, tmp_path: Path) -> None:
    settings = SuiteSettings(data=tmp_path, bus_url=redis_url, port=0)
    policy = load_signer(settings.keys_folder, "policy", create=True)
    ended: asyncio.Future[TaskSucceeded] = asyncio.get_running_loop().create_future()

    async def seen(event: Envelope[TaskSucceeded]) -> Effects:
        ended.set_result(event.body)
        return []

    trouble = Trouble()
    async with served(crm_app(trouble=trouble)) as crm, serving([service], settings) as [running]:
        process = running.host.process
        await publish(running, crm)
        asked = task(arguments=ARGUMENTS, deadline=datetime.now(UTC) + timedelta(hours=1))  # noqa: TID251 - real time
        grant = sign_grant(policy, Grant(asked, 1, "d-1", EMPTY))
        fact = CallAuthorized(task=asked, arguments=ARGUMENTS, grant=grant)
        stamp = Stamp("policy", process.keyring, process.now)
        watcher = asyncio.create_task(process.bus.run(Group("gateway", [on(TaskSucceeded, seen)])))
        await process.bus.publish([stamp.state(fact, "event-1", None, None)])
        async with asyncio.timeout(20):
            end = await ended
        journal = [one for one in await running.backlog() if one.topic == "journal"]
        watcher.cancel()
        await asyncio.gather(watcher, return_exceptions=True)

    assert "Northwind" in end.result
    assert [(one.waiting, one.in_flight) for one in journal] == [(0, 0)]
    assert trouble.log().by_task == {"task-1": 1}
