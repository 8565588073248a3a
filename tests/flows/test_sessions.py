"""Sessions of 2025-11-25 with real processes: two doors in turn, servers of both eras that ask."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CreateMessageResult, ElicitResult, TextContent

from tests.chaos.truth import settled_ledger
from tests.components.suite import until
from tests.conformance.stage import Stage, stage
from tests.services.gateway.http.sitting import (
    DECLARED,
    OLDER,
    Sitting,
    handshake,
    request,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
ROUTE = "/servers/everything/mcp"
FILLED = {"username": "ana", "email": "ana@example.com"}
ACCEPTED = {"action": "accept", "content": FILLED}


@pytest.fixture(scope="module", params=["modern", "older"])
def here(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    """Two gateways behind one edge, and a server of either era behind them."""
    folder, older = tmp_path_factory.mktemp("sessions"), request.param == "older"
    scale = ("--scale", "gateway=2")
    with stage(folder, "http://unused", *scale, sticky=True, older=older) as made:
        yield made


@asynccontextmanager
async def connected(here: Stage) -> AsyncIterator[httpx2.AsyncClient]:
    headers = {"Authorization": f"Bearer {here.key}"}
    async with httpx2.AsyncClient(base_url=here.suite.url, headers=headers, timeout=60) as client:
        yield client


async def test_the_sdks_client_is_asked_by_doors_in_turn(here: Stage) -> None:
    answers = iter(["accept", "decline", "cancel"] * 2)
    asked: list[str] = []

    async def elicited(context: Any, params: Any) -> ElicitResult:
        asked.append(params.message)
        action: Any = next(answers)
        return ElicitResult(action=action, content=FILLED if action == "accept" else None)

    async def sampled(context: Any, params: Any) -> CreateMessageResult:
        return CreateMessageResult(role="assistant", content=TextContent(text="4"), model="test")

    async with connected(here) as http:
        transport = streamable_http_client(f"{here.suite.url}{ROUTE}", http_client=http)
        async with Client(
            transport, mode="legacy", elicitation_callback=elicited, sampling_callback=sampled
        ) as client:
            for n, action in enumerate(["accept", "decline", "cancel"] * 2):
                result = await client.call_tool("test_elicitation", {"message": f"turn {n}"})
                assert f"action={action}" in text_of(result)
            result = await client.call_tool("test_sampling", {"prompt": "2 + 2"})
            assert text_of(result) == "LLM response: 4"
    assert asked == [f"turn {n}" for n in range(6)]


def text_of(result: Any) -> str:
    told: str = result.content[0].text
    return told


async def test_a_question_outlives_every_door_that_put_it(here: Stage) -> None:
    """All are killed while the client thinks; the answer then arrives at another process."""
    call = request("tools/call", 7, name="test_elicitation", arguments={"message": "then?"})
    async with connected(here) as http:
        opened = await http.post(ROUTE, json=handshake(**DECLARED), headers=OLDER)
        client = Sitting(http, ROUTE, opened.headers["mcp-session-id"])
        async with client.call(call) as calling:
            question = await calling.next()
            assert question["params"]["message"] == "then?"
            pids = here.suite.pids("gateway")
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
        await asyncio.to_thread(until, lambda: whole(here, pids), "there are doors again")
        task = question["id"].partition("/")[0]
        assert told(here, task)["state"] == "input_required"
        assert (await client.answer(question["id"], result=ACCEPTED)).status_code == 202
        await asyncio.to_thread(until, lambda: told(here, task)["final"], "the task has ended")
    ended = told(here, task)
    assert ended["state"] == "succeeded"
    assert "action=accept" in ended["result"]["content"][0]["text"]
    assert [one for one in here.executed() if one == task]


def told(here: Stage, task: str) -> dict[str, Any]:
    found: dict[str, Any] = here.suite.ask("GET", f"/v1/tasks/{task}", None, here.key, wait=0)
    return found


def whole(here: Stage, gone: list[int]) -> bool:
    pids = here.suite.pids("gateway")
    return len(pids) == len(gone) and not {*gone} & {*pids} and here.suite.ready()


async def test_the_ledger_is_whole(here: Stage, tmp_path: Any) -> None:
    tasks = here.executed()
    ledger = await settled_ledger(here.suite, tasks, tmp_path / "export")
    assert ledger.report.ok, ledger.report.text()
    assert all(ledger.ends[task] == ["interlock.task.succeeded.v1"] for task in tasks)
