"""Server-sent events: each milestone once, on any replica, and never a buffer without bound."""

import asyncio
from typing import Any

import pytest
from starlette.types import Message

from interlock.bus import Effects, Envelope
from interlock.contracts.outcomes import TaskSucceeded
from interlock.contracts.requests import TaskAuthenticated
from interlock.contracts.task import Task
from interlock.testing import build
from services.gateway.handlers.waiting import Waiters
from services.gateway.http.stream import MilestoneStream, StreamLimits
from services.gateway.model import Place
from services.gateway.settings import Settings
from services.gateway.store import MemorySnapshots, Shared
from tests.services.gateway.build import Gateway, World, eventually
from tests.services.gateway.decide.test_merge import happened
from tests.services.gateway.http.raw import frames
from tests.services.gateway.http.test_rest import CALL, WAIT, nothing


async def start(envelope: Envelope[TaskAuthenticated]) -> Effects:
    return [build.started(envelope.body.task)]


async def tell(gateway: Gateway, fact: Any) -> None:
    await gateway.host.bus.publish([build.raw(fact, "invocation")])


def task_of(gateway: Gateway) -> Task:
    return gateway.authority.asked[-1].body.task


async def test_milestones_come_as_they_happen_and_end_with_the_outcome(gateway: Gateway) -> None:
    gateway.authority.judge = start
    async with gateway.client() as client:
        task = (await client.post("/v1/tasks", json=CALL)).json()
        seen: list[tuple[str, Any]] = []
        async with client.stream("GET", f"/v1/tasks/{task['id']}/events") as stream:
            assert stream.headers["content-type"] == "text/event-stream"
            async for frame in frames(stream):
                seen.append(frame)
                if frame[0] == "task.started":
                    await tell(gateway, build.progressed(task_of(gateway)))
                elif frame[0] == "task.progressed":
                    await tell(gateway, build.succeeded(task_of(gateway)))
    assert [name for name, _ in seen] == ["task.started", "task.progressed", "task.succeeded"]
    assert seen[-1][1]["result"] == {"content": []}


@pytest.mark.promise("resumes")
async def test_a_stream_resumes_behind_the_last_event_on_any_replica(suite: World) -> None:
    suite.authority.judge = start
    async with suite.gateway() as one, suite.gateway() as two:
        async with one.client() as client:
            task = (await client.post("/v1/tasks", json=CALL)).json()
            path = f"/v1/tasks/{task['id']}/events"
            async with client.stream("GET", path) as stream:
                async for _name, _data in frames(stream):
                    break
        await tell(one, build.succeeded(task_of(one)))
        async with two.client() as client:
            told = await client.get(path, headers={"Last-Event-ID": "1"})
            assert told.text.startswith("id: 2\nevent: task.succeeded\n")
            assert told.text.count("event:") == 1
            after = await client.get(path, headers={"Last-Event-ID": "2"})
            assert after.status_code == 204
            bad = await client.get(path, headers={"Last-Event-ID": "x"})
            assert bad.status_code == 422


async def test_who_waits_on_another_replica_is_told_at_once(suite: World) -> None:
    suite.authority.judge = nothing
    async with suite.gateway() as one, suite.gateway() as two:
        async with one.client() as client:
            task = (await client.post("/v1/tasks", json=CALL)).json()
        async with two.client() as client:
            waiting = asyncio.ensure_future(client.get(f"/v1/tasks/{task['id']}", headers=WAIT))
            place = Place("acme", task["id"])
            await eventually(lambda: len(suite.shared.tasks[place].doors) == 2)
            await tell(one, build.succeeded(task_of(one)))
            assert (await waiting).json()["state"] == "succeeded"


async def test_a_silent_stream_is_kept_alive(suite: World) -> None:
    suite.authority.judge = nothing
    async with suite.gateway(Settings(keep_alive_seconds=0.1)) as gateway:
        async with gateway.client() as client:
            task = (await client.post("/v1/tasks", json=CALL)).json()
            async with client.stream("GET", f"/v1/tasks/{task['id']}/events") as stream:
                async for name, _ in frames(stream):
                    assert name == ":"
                    break


async def test_a_stop_ends_streams_and_cancels_nothing(suite: World) -> None:
    suite.authority.judge = nothing
    async with suite.gateway() as gateway, gateway.client() as client:
        task = (await client.post("/v1/tasks", json=CALL)).json()
        async with client.stream("GET", f"/v1/tasks/{task['id']}/events") as stream:
            gateway.host.stopping.set()
            assert [one async for one in frames(stream)] == []
    assert suite.authority.cancelled.empty()


@pytest.fixture
async def store() -> MemorySnapshots:
    made = MemorySnapshots(Shared(), "a")
    await made.project([happened(build.started())])
    return made


async def test_a_slow_reader_is_dropped(store: MemorySnapshots) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    limits = StreamLimits(keep_alive=10, slow_reader=0.05)
    waiters = Waiters(asyncio.Event())
    stream = MilestoneStream(store, waiters, Place("acme", "task-1"), 0, limits)
    async with asyncio.timeout(5):
        await stream({"type": "http"}, receive, send)
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]


async def test_a_client_that_left_is_not_written_to(store: MemorySnapshots) -> None:
    async def send(message: Message) -> None:
        assert b"succeeded" not in message.get("body", b"")

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    waiters = Waiters(asyncio.Event())
    limits = StreamLimits(keep_alive=10, slow_reader=10)
    stream = MilestoneStream(store, waiters, Place("acme", "task-1"), 0, limits)
    async with asyncio.timeout(5):
        await stream({"type": "http"}, receive, send)
    await store.project([happened(TaskSucceeded(task=build.task(), result="{}"), 1)])
