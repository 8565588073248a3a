"""What a client is told while something of ours is away, and what becomes of its task."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest

from interlock.bus import Raw
from interlock.bus.memory import MemoryBus
from interlock.contracts.requests import TaskAuthenticated
from interlock.errors import Unavailable, Unsure
from interlock.testing.build import KEYRING
from services.gateway.model import Snapshot
from services.gateway.settings import Settings
from services.gateway.store import Accepting, MemorySnapshots
from tests.services.gateway.build import Gateway, World, eventually, now, world
from tests.services.gateway.http.raw import ACCEPT, call, headers, post
from tests.services.gateway.http.test_mcp import SLOW
from tests.services.gateway.http.test_rest import CALL, WAIT
from tests.services.gateway.http.test_stream import start

LEGACY = {"MCP-Protocol-Version": "2025-11-25", **ACCEPT}
PLAIN = {"name": "crm__search", "arguments": {"query": "acme"}}
OLD = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": PLAIN}
MCP = pytest.mark.parametrize(
    ("given", "body"),
    [(headers(), call()), (SLOW, call()), (LEGACY, OLD)],
    ids=["lean", "sdk", "legacy"],
)
"""Every way through the MCP door."""


def said(answer: httpx2.Response) -> Any:
    """The JSON-RPC answer, whether alone or as the last event of a stream."""
    if not answer.headers["content-type"].startswith("text/event-stream"):
        return answer.json()
    data = [line for line in answer.text.splitlines() if line.startswith("data:")]
    return json.loads(data[-1].removeprefix("data:"))


class DeafBus(MemoryBus):
    """Is well when asked, and takes nothing while `deaf`."""

    deaf = False

    async def publish(self, messages: Any) -> None:
        if self.deaf:
            raise Unavailable("the bus takes nothing")
        await super().publish(messages)


class Forgetful(MemorySnapshots):
    """Writes, and the answer gets lost."""

    async def accept(self, new: Accepting) -> Snapshot | None:
        await super().accept(new)
        raise Unsure(f"task `{new.snapshot.task.id}` was perhaps accepted")


async def test_while_the_bus_is_away_nothing_is_taken_in_and_then_all_is_well(
    gateway: Gateway,
) -> None:
    gateway.bus.away = True
    async with gateway.client() as client:
        told = await client.post("/v1/tasks", json=CALL)
        assert (told.status_code, told.headers["retry-after"]) == (503, "1")
        assert gateway.shared.tasks == {}
        gateway.bus.away = False
        again = await client.post("/v1/tasks", json=CALL, headers=WAIT)
    assert again.json()["state"] == "succeeded"


@MCP
async def test_an_mcp_client_is_told_so_in_http(
    gateway: Gateway, given: dict[str, str], body: Any
) -> None:
    gateway.bus.away = True
    async with gateway.client() as client:
        told = await post(client, body, headers=given)
        assert (told.status_code, told.headers["retry-after"]) == (503, "1")
        assert gateway.shared.tasks == {}
        gateway.bus.away = False
        again = await post(client, body, headers=given)
    assert said(again)["result"].get("isError", False) is False


async def test_snapshots_that_are_away_are_503_and_nothing_runs(gateway: Gateway) -> None:
    gateway.shared.away = True
    async with gateway.client() as client:
        told = await client.post("/v1/tasks", json=CALL)
    assert (told.status_code, told.headers["retry-after"]) == (503, "1")
    assert gateway.authority.asked == []


@MCP
async def test_an_mcp_client_is_told_that_snapshots_are_away(
    gateway: Gateway, given: dict[str, str], body: Any
) -> None:
    gateway.shared.away = True
    async with gateway.client() as client:
        told = await post(client, body, headers=given)
    assert said(told)["error"]["code"] == -32603
    assert (told.status_code, told.headers["retry-after"]) == (503, "1")
    assert gateway.authority.asked == []


async def test_what_was_accepted_goes_out_later_byte_for_byte() -> None:
    bus = DeafBus(KEYRING, now)
    async with world(bus) as suite, suite.gateway() as gateway, gateway.client() as client:
        bus.deaf = True
        told = await client.post("/v1/tasks", json=CALL)
        assert (told.status_code, told.json()["state"]) == (202, "accepting")
        (kept,) = suite.shared.tasks.values()
        sealed = kept.raw
        bus.deaf = False
        shown = await client.get(told.headers["location"], headers=WAIT)
        assert shown.json()["state"] == "succeeded"
        assert [raw for raw in bus.published if _is_request(raw)] == [sealed]


def _is_request(raw: Raw) -> bool:
    return raw.attributes["ce_type"] == TaskAuthenticated.type


async def test_a_lost_answer_is_perhaps_accepted_and_no_reason_to_repeat(suite: World) -> None:
    suite.store = lambda replica: Forgetful(suite.shared, replica)
    async with suite.gateway() as gateway, gateway.client() as client:
        told = await client.post("/v1/tasks", json=CALL)
        assert told.status_code == 503
        assert told.json()["code"] == "perhaps_accepted"
        assert "retry-after" not in told.headers
        shown = await client.get(told.headers["location"], headers=WAIT)
        assert shown.json()["state"] == "succeeded"


@MCP
async def test_a_lost_answer_tells_an_mcp_client_where_to_look(
    suite: World, given: dict[str, str], body: Any
) -> None:
    suite.store = lambda replica: Forgetful(suite.shared, replica)
    async with suite.gateway() as gateway, gateway.client() as client:
        told = await post(client, body, headers=given)
        assert "retry-after" not in told.headers
        result = said(told)["result"]
    (place,) = suite.shared.tasks
    assert result["isError"] is True
    assert f"{gateway.url}/v1/tasks/{place.task_id}" in result["content"][0]["text"]


@pytest.mark.parametrize("way", ["mcp", "rest"])
async def test_what_calls_that_wait_hold_in_memory_is_bounded_and_more_is_503(
    suite: World, way: str
) -> None:
    suite.authority.judge = start
    held = Settings(held_bytes=3000)
    async with suite.gateway(held) as gateway, gateway.client() as client:

        async def ask(what: str) -> httpx2.Response:
            arguments = {"query": what * 1000}
            if way == "mcp":
                return await post(client, call(arguments=arguments))
            wanted = {"server": "crm", "tool": "search", "arguments": arguments}
            return await client.post("/v1/tasks", json=wanted, headers={"Prefer": "wait=3"})

        waiting = [asyncio.ensure_future(ask(what)) for what in "ab"]
        await eventually(lambda: len(gateway.authority.asked) == 2 or None)
        told = await ask("c")
        assert (told.status_code, told.headers["retry-after"]) == (503, "5")
        assert len(gateway.authority.asked) == 2
        for one in waiting:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        again = asyncio.ensure_future(until_there_is_room(ask))
        await eventually(lambda: len(gateway.authority.asked) == 3 or None)
        again.cancel()
        await asyncio.gather(again, return_exceptions=True)


async def until_there_is_room(ask: Callable[[str], Awaitable[httpx2.Response]]) -> None:
    while (await ask("d")).status_code == 503:
        pass
