"""Tasks through any door in turn: asked, approved, cancelled, and outliving who makes their calls.

Two gateways and two invocations behind one address that takes them in turn, on one Redis.
"""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from tests.components.asker import HOUR, Log, asking_server
from tests.components.suite import GLANCE, Suite, suite, until
from tests.services.gateway.http.raw import frames, headers, message

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
SCALE = ("--scale", "gateway=2", "--scale", "invocation=2")
AGENT, SCOPE, CAREFUL = "copilot", "asker:use", "asker:careful"
MODERN, OLDER, STDIO, HELD = "asker", "older", "pipe", "careful"
TASKS = "io.modelcontextprotocol/tasks"
KNOWS: dict[str, Any] = {
    "io.modelcontextprotocol/clientCapabilities": {"extensions": {TASKS: {}}, "elicitation": {}}
}
ASKABLE: dict[str, Any] = {"io.modelcontextprotocol/clientCapabilities": {"elicitation": {}}}
SURE = {"action": "accept", "content": {"sure": True}}
AS_TASK: dict[str, Any] = {"execution": "task"}
WITHIN = 60.0
"""Seconds, on a machine that does other things, too."""


@dataclass(frozen=True)
class Here:
    """A suite before a server that asks, by four names."""

    suite: Suite
    logs: dict[str, Log]
    key: str

    @asynccontextmanager
    async def client(self) -> AsyncIterator[httpx2.AsyncClient]:
        """One whose every request is a connection of its own, so that doors take turns."""
        given = {"Authorization": f"Bearer {self.key}"}
        limits = httpx2.Limits(max_keepalive_connections=0)
        async with httpx2.AsyncClient(
            base_url=self.suite.url, headers=given, timeout=60, limits=limits
        ) as client:
            yield client


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Here]:
    folder = tmp_path_factory.mktemp("tasks")
    logs = {name: Log(folder / f"{name}.log") for name in (MODERN, OLDER, STDIO, HELD)}
    args = ["-m", "tests.components.asker", "--stdio", "--log", str(logs[STDIO].path)]
    command = {"name": "asker", "command": sys.executable, "args": args, "cwd": os.getcwd()}
    commands = folder / "commands.json"
    commands.write_text(json.dumps({"commands": [command]}))
    with ExitStack() as stack:
        urls = {
            MODERN: stack.enter_context(asking_server(logs[MODERN].path)),
            OLDER: stack.enter_context(asking_server(logs[OLDER].path, "--handshake-only")),
        }
        env = {"INTERLOCK_INVOCATION_COMMANDS": str(commands)}
        running = stack.enter_context(suite(folder / "data", *SCALE, env=env))
        for name, scope in ((MODERN, SCOPE), (OLDER, SCOPE), (STDIO, SCOPE), (HELD, CAREFUL)):
            at = urls.get(name, urls[MODERN])
            http = {"transport": "streamable-http", "url": f"{at}/mcp"}
            over = {"transport": "stdio", "command": "asker"} if name == STDIO else http
            register(running, name, scope, over)
        running.ask("POST", "/auth/v1/agents", {"name": AGENT})
        given = {"permissions": [SCOPE], "with_approval": [CAREFUL]}
        running.ask("PUT", f"/policy/v1/permissions/{AGENT}", given)
        made = running.ask("POST", "/auth/v1/keys", {"agent": AGENT})
        yield Here(running, logs | {HELD: logs[MODERN]}, made["key"])


def register(running: Suite, name: str, scope: str, connection: dict[str, str]) -> None:
    server = {
        "name": name,
        "capability": f"asks, as {name}",
        "owner_team": "tests",
        "technical_owner": "ana",
        "environment": "development",
        "connection": connection,
        "required_scopes": [scope],
        "risk": "low",
    }
    told = running.ask("POST", "/registry/v1/servers", server)

    def looked_at() -> bool:
        nonlocal told
        told = running.ask("GET", f"/registry/v1/servers/{name}")
        return bool(told["inspected"] or told["inspect_error"])

    until(looked_at, f"`{name}` was looked at")
    assert told["inspected"], told["inspect_error"]
    tools: dict[str, Any] = dict.fromkeys(("transfer", "transfer_live", "hold"), AS_TASK)
    tools["report"] = AS_TASK | {"timeout_seconds": 3600}
    running.ask("PATCH", f"/registry/v1/servers/{name}", {"tools": tools})
    for state in ("submitted", "security_review", "approved_dev"):
        running.ask("POST", f"/registry/v1/servers/{name}/move", {"to": state, "reason": "test"})


async def ask(client: httpx2.AsyncClient, method: str, named: str, **params: Any) -> Any:
    """The result of one request, whichever door takes it."""
    meta = params.pop("meta", KNOWS)
    body = message(method, meta=meta, **params)
    told = await client.post("/mcp", json=body, headers=headers(method, named))
    assert told.status_code == 200, told.text
    text = told.text
    if told.headers["content-type"].startswith("text/event-stream"):
        text = [line[6:] for line in text.splitlines() if line.startswith("data: {")][-1]
    return json.loads(text)["result"]


async def called(client: httpx2.AsyncClient, server: str, tool: str, **more: Any) -> Any:
    name, arguments = f"{server}__{tool}", more.pop("arguments", {})
    return await ask(client, "tools/call", name, name=name, arguments=arguments, **more)


async def begun(client: httpx2.AsyncClient, server: str, tool: str, **arguments: Any) -> str:
    """The id of a call that is a task."""
    told = await called(client, server, tool, arguments=arguments)
    assert told["resultType"] == "task", told
    return str(told["taskId"])


async def shown(client: httpx2.AsyncClient, task: str) -> Any:
    return await ask(client, "tasks/get", task, taskId=task)


async def look(client: httpx2.AsyncClient, task: str, fits: Callable[[Any], Any]) -> Any:
    """The task as soon as it is as wished, asked for again and again as a client does."""
    return await eventually(lambda: shown(client, task), fits)


async def eventually(found: Callable[[], Awaitable[Any]], fits: Callable[[Any], Any] = bool) -> Any:
    """What is found, as soon as it fits."""
    async with asyncio.timeout(WITHIN):
        while not fits(one := await found()):  # noqa: ASYNC110 another process tells nobody
            await asyncio.sleep(GLANCE)
    return one


async def asks(client: httpx2.AsyncClient, task: str) -> Any:
    """The keys of what a task asks."""
    found = await look(client, task, lambda one: one["status"] == "input_required")
    return found["inputRequests"]


async def ended(client: httpx2.AsyncClient, task: str) -> Any:
    """The result, and what the task's end is called here."""
    found = await look(client, task, lambda one: one["status"] in ("completed", "cancelled"))
    return found["status"], found.get("result"), found["_meta"]["dev.interlock/state"]


async def answer(client: httpx2.AsyncClient, task: str, requests: Any) -> None:
    given = dict.fromkeys(requests, SURE)
    await ask(client, "tasks/update", task, taskId=task, inputResponses=given)


def text_of(result: Any) -> str:
    return str(result["content"][0]["text"])


async def happened(log: Log, what: str, task: str) -> float:
    await asyncio.to_thread(until, lambda: bool(log.times(what, task)), what, within=WITHIN)
    return log.times(what, task)[0]


# -- doors in turn --------------------------------------------------------------------------------


async def test_each_round_of_a_call_may_come_to_another_door(here: Here) -> None:
    async with here.client() as client:
        for amount in range(4):
            arguments = {"amount": amount}
            told = await called(client, MODERN, "transfer", arguments=arguments, meta=ASKABLE)
            assert [*told["inputRequests"]] == ["sure"]
            more = {"requestState": told["requestState"], "inputResponses": {"sure": SURE}}
            told = await called(
                client, MODERN, "transfer", arguments=arguments, meta=ASKABLE, **more
            )
            assert text_of(told) == f"paid {amount}"
            task = told["_meta"]["dev.interlock/taskId"]
            assert len(here.logs[MODERN].times("paid", task)) == 1


@pytest.mark.parametrize(("server", "tool"), [(MODERN, "transfer"), (OLDER, "transfer_live")])
async def test_a_task_is_shown_given_input_and_cancelled_at_any_door(
    here: Here, server: str, tool: str
) -> None:
    log = here.logs[server]
    async with here.client() as client:
        tasks = [await begun(client, server, tool, amount=n) for n in range(6)]
        for task in tasks[:3]:
            await answer(client, task, await asks(client, task))
            status, result, _ = await ended(client, task)
            assert (status, text_of(result)[:4]) == ("completed", "paid")
        for task in tasks[3:]:
            await asks(client, task)
            await ask(client, "tasks/cancel", task, taskId=task)
            status, _, state = await ended(client, task)
            # What waits between two rounds did nothing; of a live call nobody can know that.
            assert (status, state) in {("cancelled", "cancelled"), ("completed", "unknown")}
    assert [len(log.times("paid", task)) for task in tasks] == [1] * 3 + [0] * 3


# -- a person's approval --------------------------------------------------------------------------


async def test_a_task_is_held_then_approved_then_ends_as_is_seen_by_asking_and_by_listening(
    here: Here,
) -> None:
    async with here.client() as client:
        task = await begun(client, HELD, "transfer", amount=7)
        held = await look(client, task, lambda one: state_of(one) == "held")
        assert held["status"] == "working"
        assert "waits for a person's approval" in held["statusMessage"]
        states: list[tuple[str, str]] = []
        begins = asyncio.Event()
        listening = asyncio.ensure_future(hear(client, task, states, begins))
        await asyncio.wait_for(begins.wait(), WITHIN)
        await asyncio.to_thread(approve, here.suite, task)
        asked = await asks(client, task)
        asks_on = ("input_required", "input_required")  # not told where it soon is over
        await asyncio.to_thread(until, lambda: asks_on in states, "its listener hears that it asks")
        await answer(client, task, asked)
        found = here.suite.ask("GET", "/policy/v1/approvals")["approvals"]
        assert task not in {one["task"]["id"] for one in found}, "its input counts as approved, too"
        status, result, _ = await ended(client, task)
        assert (status, text_of(result)) == ("completed", "paid 7")
        await asyncio.wait_for(listening, WITHIN)
    assert states[0] == ("working", "held")
    assert states[-1] == ("completed", "succeeded")


def state_of(task: Any) -> str:
    return str(task["_meta"]["dev.interlock/state"])


async def hear(
    client: httpx2.AsyncClient, task: str, states: list[tuple[str, str]], begins: asyncio.Event
) -> None:
    """What `notifications/tasks` tell of a task, up to its end."""
    method = "subscriptions/listen"
    body = message(method, notifications={"taskIds": [task]}, meta=KNOWS)
    async with client.stream("POST", "/mcp", json=body, headers=headers(method, None)) as stream:
        assert stream.headers["x-accel-buffering"] == "no"
        async for name, data in frames(stream):
            if name != "message" or data["method"] != "notifications/tasks":
                continue
            states.append((data["params"]["status"], state_of(data["params"])))
            begins.set()
            if data["params"]["status"] == "completed":
                return


def approve(running: Suite, task: str) -> None:
    held = running.ask("GET", "/policy/v1/approvals")["approvals"]
    digest = next(one["digest"] for one in held if one["task"]["id"] == task)
    told = {"reason": "a test", "digest": digest}
    running.ask("POST", f"/policy/v1/tasks/{task}/approve", told)


# -- cancellation of a server on stdio ------------------------------------------------------------


async def test_a_closed_stream_reaches_a_server_on_stdio_within_a_second(
    here: Here, record_property: Callable[[str, object], None]
) -> None:
    async def close(client: httpx2.AsyncClient) -> tuple[str, float]:
        log = here.logs[STDIO]
        bare: dict[str, Any] = {"io.modelcontextprotocol/clientCapabilities": {}}
        before = {*log.tasks("begun")}
        given = {"about": f"{len(before)}"}  # the same call again would join the one before
        calling = asyncio.ensure_future(called(client, STDIO, "hold", arguments=given, meta=bare))

        def begun() -> bool:
            return calling.done() or not {*log.tasks("begun")} <= before

        await asyncio.to_thread(until, begun, "the call has begun", within=WITHIN)
        assert not calling.done()
        (task,) = {*log.tasks("begun")} - before
        at = time.time()
        calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)
        return task, at

    await reaches(here, close, record_property)


async def test_a_cancelled_task_is_cancelled_at_a_server_on_stdio_within_a_second(
    here: Here, record_property: Callable[[str, object], None]
) -> None:
    async def cancel(client: httpx2.AsyncClient) -> tuple[str, float]:
        task = await begun(client, STDIO, "hold")
        await happened(here.logs[STDIO], "begun", task)
        at = time.time()
        await ask(client, "tasks/cancel", task, taskId=task)
        return task, at

    await reaches(here, cancel, record_property)


async def reaches(
    here: Here,
    cancel: Callable[[httpx2.AsyncClient], Awaitable[tuple[str, float]]],
    record_property: Callable[[str, object], None],
) -> None:
    """By the server's own clock; of two, as the machine may be at something else."""
    seconds = []
    async with here.client() as client:
        for _ in range(2):
            task, at = await cancel(client)
            seconds.append(await happened(here.logs[STDIO], "cancelled", task) - at)
            status, result, state = await ended(client, task)
            assert (status, state) == ("completed", "unknown")
            assert "cancelled the call while it ran" in text_of(result)
    record_property("seconds", seconds)
    assert min(seconds) < 1.0


# -- an hour --------------------------------------------------------------------------------------


async def test_a_tool_that_takes_an_hour_is_there_for_a_client_that_went_away(here: Here) -> None:
    """The hour is the server's own, and goes by as fast as this test says."""
    log = here.logs[MODERN]
    log.tell_time(0)
    async with here.client() as client:
        task = await begun(client, MODERN, "report", about="sales")
        await happened(log, "begun", task)
        log.tell_time(10)
        told = await look(client, task, lambda one: "minute 10" in one.get("statusMessage", ""))
        assert told["status"] == "working"
    log.tell_time(HOUR)
    await happened(log, "done", task)  # while nobody asks
    async with here.client() as client:
        status, result, _ = await ended(client, task)
        assert (status, text_of(result)) == ("completed", "reported sales")
        assert text_of((await shown(client, task))["result"]) == "reported sales"
    assert len(log.times("begun", task)) == 1


# -- kill -9 of who makes the calls ---------------------------------------------------------------


async def killed(here: Here) -> None:
    """Every invocation, and there are others in their place."""
    pids = here.suite.pids("invocation")
    for pid in pids:
        os.kill(pid, signal.SIGKILL)

    def back() -> bool:
        there = here.suite.pids("invocation")
        return len(there) == len(pids) and not {*there} & {*pids} and here.suite.ready()

    await asyncio.to_thread(until, back, "there are others")


async def test_a_task_that_waits_for_input_outlives_who_made_its_call(here: Here) -> None:
    log = here.logs[MODERN]
    async with here.client() as client:
        task = await begun(client, MODERN, "transfer", amount=40)
        before = await asks(client, task)
        await killed(here)
        assert await asks(client, task) == before
        await answer(client, task, before)
        status, result, _ = await ended(client, task)
        assert (status, text_of(result)) == ("completed", "paid 40")
    assert len(log.times("paid", task)) == 1


async def test_a_live_call_that_waits_for_input_is_unknown_once_who_made_it_is_killed(
    here: Here,
) -> None:
    log = here.logs[OLDER]
    async with here.client() as client:
        task = await begun(client, OLDER, "transfer_live", amount=41)
        asked = await asks(client, task)
        await killed(here)
        status, result, state = await ended(client, task)
        assert (status, state, result["isError"]) == ("completed", "unknown", True)
        assert "may have had its effect and is not repeated" in text_of(result)
        await answer(client, task, asked)  # too late, and it says nothing else
        assert (await ended(client, task))[2] == "unknown"
    assert len(log.times("asked", task)) == 1
    assert log.times("paid", task) == []
