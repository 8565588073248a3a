"""Clients that leave, doors that are killed, many streams at once: with real processes."""

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from tests.chaos.truth import settled_ledger
from tests.components.crm import SERVER, Crm, crm
from tests.components.suite import until
from tests.components.world import World, register_server, world

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
TOOL = "request_discount"
"""May not be repeated, and takes any text."""
OLDER = "older"
"""A server of the handshake era."""
MODERN = "2026-07-28"
LEGACY = "2025-11-25"
BOTH = "application/json, text/event-stream"
STREAMS = 200
SCALE = ("--scale", "gateway=2", "--scale", "invocation=2")


@dataclass(frozen=True)
class Here:
    """A suite in front of a server of each era."""

    world: World
    older: Crm

    def upstream(self, server: str) -> Crm:
        return self.world.crm if server == SERVER else self.older

    @asynccontextmanager
    async def client(self) -> AsyncIterator[httpx2.AsyncClient]:
        headers = {"Authorization": f"Bearer {self.world.key}"}
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
        async with httpx2.AsyncClient(
            base_url=self.world.suite.url, headers=headers, timeout=60, limits=limits
        ) as client:
            yield client

    def task(self, task_id: str) -> dict[str, Any]:
        told: dict[str, Any] = self.world.suite.ask(
            "GET", f"/v1/tasks/{task_id}", None, self.world.key
        )
        return told

    def newest(self) -> str:
        told = self.world.suite.ask("GET", "/v1/tasks?limit=1", None, self.world.key, wait=0)
        return str(told["tasks"][0]["id"])


@pytest.fixture(scope="module", params=["one process", "many"])
def here(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Here]:
    scale = SCALE if request.param == "many" else ()
    folder = tmp_path_factory.mktemp("streams")
    with world(folder, *scale) as made, crm("--handshake-only") as older:
        register_server(made.suite, older.url, OLDER)
        yield Here(made, older)


def message(server: str, about: str, number: int = 1, *, era: str = MODERN) -> dict[str, Any]:
    """A call that may not be repeated; `about` tells it from others."""
    meta: dict[str, Any] = {"progressToken": number}
    if era == MODERN:
        meta["io.modelcontextprotocol/protocolVersion"] = MODERN
        meta["io.modelcontextprotocol/clientCapabilities"] = {}
    arguments = {"opportunity_id": "opp-1", "percent": 1, "reason": about}
    params = {"name": f"{server}__{TOOL}", "arguments": arguments, "_meta": meta}
    return {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}


async def called(client: httpx2.AsyncClient, body: dict[str, Any], accept: str = BOTH) -> Any:
    """The result of a call; KeyError or an error of HTTP where there is none."""
    return (await told(client, body, accept))[-1]["result"]


async def told(client: httpx2.AsyncClient, body: dict[str, Any], accept: str = BOTH) -> list[Any]:
    """All that a call's stream tells, its answer last."""
    modern = "io.modelcontextprotocol/protocolVersion" in body["params"]["_meta"]
    headers = {"Accept": accept, "MCP-Protocol-Version": MODERN if modern else LEGACY}
    if modern:
        headers |= {"Mcp-Method": "tools/call", "Mcp-Name": body["params"]["name"]}
    answer = await client.post("/mcp", json=body, headers=headers)
    answer.raise_for_status()
    if not answer.headers["content-type"].startswith("text/event-stream"):
        return [json.loads(answer.text)]
    assert answer.headers["x-accel-buffering"] == "no"
    lines = [line[6:] for line in answer.text.splitlines() if line.startswith("data: {")]
    return [json.loads(line) for line in lines]


def task_of(result: Any) -> str:
    return str(result["_meta"]["dev.interlock/taskId"])


async def begun(upstream: Crm, more: Callable[[], int], than: int) -> None:
    await asyncio.to_thread(until, lambda: more() > than, "the call has begun", within=60)


async def held(here: Here, client: httpx2.AsyncClient, body: Any, accept: str = BOTH) -> Any:
    """A call under way that its upstream holds."""
    upstream = here.upstream(body["params"]["name"].split("__")[0])
    before = upstream.begun(TOOL)
    upstream.fail(TOOL, "hold")
    calling = asyncio.ensure_future(called(client, body, accept))
    await begun(upstream, lambda: upstream.begun(TOOL), before)
    return calling


# -- cancellation reaches the upstream ----------------------------------------------------------


async def close(here: Here, client: httpx2.AsyncClient, calling: Any) -> None:
    calling.cancel()


async def delete(here: Here, client: httpx2.AsyncClient, calling: Any) -> None:
    await client.delete(f"/v1/tasks/{here.newest()}")


async def notify(here: Here, client: httpx2.AsyncClient, calling: Any) -> None:
    body = {
        "jsonrpc": "2.0",
        "method": "notifications/cancelled",
        "params": {"requestId": 7, "reason": "enough"},
    }
    headers = {"Accept": BOTH, "MCP-Protocol-Version": LEGACY}
    assert (await client.post("/mcp", json=body, headers=headers)).status_code == 202


MEANS: dict[str, tuple[Any, str, str, str]] = {
    "closed": (close, MODERN, BOTH, "the client closed the stream of its call"),
    "closed-sdk": (close, MODERN, "*/*", "the client closed the stream of its call"),
    "delete": (delete, MODERN, BOTH, "asked for over REST"),
    "notified": (notify, LEGACY, BOTH, "`notifications/cancelled`: enough"),
}


def cancels(upstream: Crm) -> Callable[[], bool]:
    """Whether one more call was cancelled there since."""
    before = upstream.cancelled(TOOL)
    return lambda: upstream.cancelled(TOOL) > before


@pytest.mark.parametrize("server", [SERVER, OLDER])
@pytest.mark.parametrize("means", MEANS)
async def test_a_cancel_reaches_the_upstream_within_a_second_and_says_whose_it_is(
    here: Here, means: str, server: str, record_property: Callable[[str, object], None]
) -> None:
    cancel, era, accept, reason = MEANS[means]
    upstream = here.upstream(server)
    seconds = []
    async with here.client() as client:
        for n in range(2):
            body = message(server, f"{means} {server} {n}", 7, era=era)
            calling = await held(here, client, body, accept)
            task, one_more = here.newest(), cancels(upstream)
            began = time.perf_counter()
            await cancel(here, client, calling)
            await asyncio.to_thread(until, one_more, "it is cancelled", within=20)
            seconds.append(time.perf_counter() - began)
            await asyncio.gather(calling, return_exceptions=True)
            told = here.task(task)
            assert told["state"] == "unknown"
            assert "`agent:copilot` cancelled the call while it ran" in told["reason"]
            assert reason in told["reason"]
    record_property("seconds", seconds)
    assert min(seconds) < 1.0
    assert upstream.calls() == {}


# -- a client that leaves, and doors that go ------------------------------------------------------


async def test_a_long_call_goes_on_without_its_older_client_who_then_gets_its_outcome(
    here: Here,
) -> None:
    upstream = here.world.crm
    before, cancelled = sum(upstream.calls().values()), upstream.cancelled(TOOL)
    body = message(SERVER, "long", era=LEGACY)
    async with here.client() as client:
        calling = await held(here, client, body)
        task = here.newest()
        calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)
    async with here.client() as client:
        again = asyncio.ensure_future(called(client, body))
        while not again.done():
            upstream.release()
            await asyncio.wait({again}, timeout=0.2)
        assert task_of(again.result()) == task
        assert again.result()["structuredContent"]["reason"] == "long"
    assert sum(upstream.calls().values()) == before + 1
    assert upstream.calls()[task] == 1
    assert upstream.cancelled(TOOL) == cancelled


@pytest.mark.parametrize("here", ["many"], indirect=True)
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("era", [MODERN, LEGACY])
async def test_a_door_that_goes_in_mid_task_cancels_nothing_and_the_outcome_is_told_by_another(
    here: Here, how: signal.Signals, era: str
) -> None:
    upstream, pids = here.world.crm, here.world.suite.pids("gateway")
    before, cancelled = upstream.calls(), upstream.cancelled(TOOL)
    bodies = [message(SERVER, f"door {how.name} {era} {n}", n, era=era) for n in range(4)]
    async with here.client() as client:
        calls = [await held(here, client, body) for body in bodies]
        os.kill(pids[0], how)
        results = await asyncio.gather(
            *(until_told(here, client, *one) for one in zip(calls, bodies, strict=True)),
            released(here, calls),
        )
    made = upstream.calls() - before
    assert made == dict.fromkeys((task_of(one) for one in results if one is not None), 1)
    assert len(made) == len(bodies)
    assert upstream.cancelled(TOOL) == cancelled
    await asyncio.to_thread(until, lambda: whole(here, pids), "there are two again")


async def until_told(here: Here, client: httpx2.AsyncClient, calling: Any, body: Any) -> Any:
    """The outcome: a client whose stream broke asks again, and so does one that was told to look
    later."""
    while True:
        try:
            result = await calling
        except (httpx2.HTTPError, httpx2.StreamError):
            result = None
        if result is not None and "structuredContent" in result:
            return result
        await asyncio.to_thread(until, here.world.suite.ready, "a door is there")
        calling = called(client, body)


async def released(here: Here, calls: list[Any]) -> None:
    """What is held goes on, once one of the calls broke off."""
    await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
    await asyncio.to_thread(here.world.crm.release)


def whole(here: Here, gone: list[int]) -> bool:
    pids = here.world.suite.pids("gateway")
    return len(pids) == len(gone) and gone[0] not in pids and here.world.suite.ready()


@pytest.mark.parametrize("era", [MODERN, "legacy"])
async def test_a_client_of_either_era_is_served_by_doors_in_turn_and_so_are_its_tasks(
    here: Here, era: str
) -> None:
    async with here.client() as http:
        transport = streamable_http_client(f"{here.world.suite.url}/mcp", http_client=http)
        async with Client(transport, mode=era) as client:
            for n in range(6):
                given = {"opportunity_id": "opp-2", "percent": 1, "reason": f"turn {era} {n}"}
                result = await client.call_tool(f"{SERVER}__{TOOL}", given)
                assert result.meta is not None
                task = str(result.meta["dev.interlock/taskId"])
                assert [here.task(task)["state"] for _ in range(2)] == ["succeeded"] * 2
                assert here.world.crm.calls()[task] == 1


async def test_many_streams_at_once_all_get_their_progress_and_answer_and_each_call_is_made_once(
    here: Here,
) -> None:
    upstream = here.world.crm
    before, begun_before = upstream.calls(), upstream.begun(TOOL)
    upstream.fail(TOOL, "hold", times=32)
    async with here.client() as client:
        bodies = [message(SERVER, f"stream {n}", n) for n in range(STREAMS)]
        calls = [asyncio.ensure_future(told(client, body)) for body in bodies]
        await begun(upstream, lambda: upstream.begun(TOOL), begun_before + 31)
        upstream.release()
        streams = await asyncio.gather(*calls)
    for n, stream in enumerate(streams):
        steps = [(one["params"]["progress"], one["params"]["message"]) for one in stream[:-1]]
        assert steps == [(1, f"stream {n}"), (2, f"stream {n}")]
        assert stream[-1]["result"]["structuredContent"]["reason"] == f"stream {n}"
    results = [stream[-1]["result"] for stream in streams]
    made = upstream.calls() - before
    assert made == dict.fromkeys((task_of(one) for one in results), 1)
    assert len(made) == STREAMS


async def test_the_ledger_is_whole(here: Here, tmp_path: Any) -> None:
    tasks = {task: TOOL for one in (here.world.crm, here.older) for task in one.calls()}
    ledger = await settled_ledger(here.world.suite, tasks, tmp_path / "export")
    assert ledger.report.ok, ledger.report.text()
    assert all(ledger.ends[task] == ["interlock.task.succeeded.v1"] for task in tasks)
