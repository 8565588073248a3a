"""The SDK against a real suite."""

from datetime import timedelta
from pathlib import Path

import pytest

from interlock.contracts.task import TaskState
from interlock.errors import Refused
from interlock.sdk import BusAgent, ClientCredentials, Interlock, Submission
from tests.components.world import AGENT, World


async def test_an_agent_sees_its_tools_and_calls_one(real: World) -> None:
    async with Interlock(real.suite.url, real.key) as client:
        tools = {tool["name"] for tool in await client.tools()}
        outcome = await client.call("crm", "search_opportunities", {"query": "contoso"})
    assert "crm__search_opportunities" in tools
    assert outcome.succeeded
    assert "Plant monitoring" in outcome.text


async def test_client_credentials_of_the_embedded_issuer_do(real: World) -> None:
    async with Interlock(real.suite.url, ClientCredentials(AGENT, real.key)) as client:
        outcome = await client.call("crm", "search_opportunities", {"query": "contoso"})
    assert outcome.succeeded


async def test_a_running_call_is_cancelled(real: World) -> None:
    real.crm.fail("search_opportunities", "delay", seconds=60)
    async with Interlock(real.suite.url, real.key) as client:
        handle = await client.submit("crm", "search_opportunities", {"query": "slow"})
        seen = []
        async for event in handle.events():
            seen.append(event.type)
            if event.type == "task.started":
                await handle.cancel()
        outcome = await handle.show()
    assert seen[0] == "task.started"
    assert outcome.state is TaskState.CANCELLED


async def test_progress_of_the_upstream_arrives(real: World) -> None:
    async with Interlock(real.suite.url, real.key) as client:
        handle = await client.submit("crm", "export_customers", {})
        seen = [event async for event in handle.events()]
    assert seen[-1].type == "task.succeeded"
    assert {"task.started", "task.progressed"} <= {event.type for event in seen}


async def test_many_submissions_on_the_bus_each_become_their_own_task(real: World) -> None:
    wanted = [
        Submission(f"many-{n}", "crm", "request_discount",
                   {"opportunity_id": "opp-1", "percent": n, "reason": "many"})
        for n in range(1, 21)
    ]  # fmt: skip
    async with (
        BusAgent(real.suite.bus_url, real.bus_key) as agent,
        Interlock(real.suite.url, real.key) as client,
    ):
        tasks = await agent.submit(wanted + wanted)
        assert len({*tasks}) == 20
        for task in tasks[:20]:
            await client.task(task).accepted()
            assert (await client.task(task).outcome()).succeeded
    calls = real.crm.calls()
    assert [calls[task] for task in tasks[:20]] == [1] * 20


async def test_a_submission_past_its_deadline_never_becomes_a_task(real: World) -> None:
    late = Submission("late", "crm", "search_opportunities", {}, within=timedelta(seconds=-1))
    async with (
        BusAgent(real.suite.bus_url, real.bus_key) as agent,
        Interlock(real.suite.url, real.key) as client,
    ):
        (task,) = await agent.submit([late])
        with pytest.raises(Refused, match="there is no task"):
            await client.task(task).accepted(wait=1)


@pytest.mark.parametrize("text", ["", "{}", '{"tenant": "t", "agent": "a", "key": {"kty": "x"}}'])
def test_a_file_that_holds_no_key_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "agent.key.json"
    file.write_text(text)
    with pytest.raises(Refused, match=r"agent\.key\.json"):
        BusAgent.from_file("redis://127.0.0.1:9", file)
    with pytest.raises(Refused):
        BusAgent.from_file("redis://127.0.0.1:9", tmp_path / "none.json")
