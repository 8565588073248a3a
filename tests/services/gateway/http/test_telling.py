"""Progress and log messages on a call's own stream: both paths, both eras."""

from typing import Any

import pytest

from interlock.bus import Effects, Envelope
from interlock.contracts.outcomes import TaskLogged
from interlock.contracts.requests import TaskAuthenticated
from interlock.testing import build
from tests.services.gateway.build import Gateway, World
from tests.services.gateway.http.raw import ACCEPT, call, frames, headers

LOGS = {"io.modelcontextprotocol/logLevel": "debug"}
TOKEN = {"progressToken": "mine"}
ENTRY = '{"level":"info",\n"logger":"db","data":{"rows":null},"vendor":1.10}'
TOLD = {"level": "info", "logger": "db", "data": {"rows": None}, "vendor": 1.1}
LEGACY = ACCEPT | {"MCP-Protocol-Version": "2025-11-25"}
MODERN = pytest.mark.parametrize(
    "given", [headers(), headers() | {"Accept": "*/*"}], ids=["lean", "sdk"]
)


async def busy(envelope: Envelope[TaskAuthenticated]) -> Effects:
    """All at once: whoever looks only at where the task stands misses it."""
    task = envelope.body.task
    steps = [build.progressed(task, seq=n).model_copy(update={"progress": n}) for n in (1, 2, 4)]
    entry = TaskLogged(task=task, attempt=1, seq=3, entry=ENTRY)
    return [build.started(task), *steps[:2], entry, steps[2], build.succeeded(task)]


async def told(gateway: Gateway, body: Any, given: dict[str, str]) -> list[Any]:
    """What comes on the stream, or all of an answer that is none."""
    given = given | {"Content-Type": "application/json"}
    async with (
        gateway.client() as client,
        client.stream("POST", "/mcp", json=body, headers=given) as answer,
    ):
        assert answer.status_code == 200
        if answer.headers["content-type"] == "application/json":
            await answer.aread()
            return [answer.json()]
        return [data async for _, data in frames(answer) if data is not None]


def older(**meta: Any) -> Any:
    body = call()
    body["params"]["_meta"] = meta
    return body


def params(found: list[Any], method: str) -> list[Any]:
    return [one["params"] for one in found if one.get("method") == f"notifications/{method}"]


@MODERN
@pytest.mark.parametrize("level", ["loud", 3, None])
async def test_a_level_that_is_none_is_refused_with_those_that_are(
    gateway: Gateway, given: dict[str, str], level: Any
) -> None:
    body = call(meta={"io.modelcontextprotocol/logLevel": level})
    async with gateway.client() as client:
        answer = await client.post("/mcp", json=body, headers=given)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["code"], answer.json()["id"]) == (-32602, 7)
    assert "`debug`" in error["message"]
    assert gateway.authority.asked == []


@MODERN
async def test_all_is_told_in_its_order_before_the_answer(
    gateway: Gateway, given: dict[str, str]
) -> None:
    gateway.authority.judge = busy
    *before, answer = await told(gateway, call(meta=LOGS | TOKEN), given)
    assert [one["params"].get("progress", "log") for one in before] == [1, 2, "log", 4]
    assert params(before, "message") == [TOLD]
    assert {one["progressToken"] for one in params(before, "progress")} == {"mine"}
    assert answer["id"] == 7
    assert answer["result"]["content"] == []


@MODERN
@pytest.mark.parametrize(
    ("meta", "progress", "logs"), [({}, 0, 0), (LOGS, 0, 1), (TOKEN, 3, 0)], ids=str
)
async def test_a_modern_client_is_told_what_it_asked_for(
    gateway: Gateway, given: dict[str, str], meta: Any, progress: int, logs: int
) -> None:
    gateway.authority.judge = busy
    found = await told(gateway, call(meta=meta), given)
    assert len(params(found, "progress")) == progress
    assert len(params(found, "message")) == logs
    assert "result" in found[-1]


@pytest.mark.parametrize(("meta", "progress"), [({}, 0), (TOKEN, 3)], ids=str)
async def test_an_older_client_is_told_what_is_logged_without_asking(
    gateway: Gateway, meta: Any, progress: int
) -> None:
    gateway.authority.judge = busy
    *before, answer = await told(gateway, older(**meta), LEGACY)
    assert len(params(before, "progress")) == progress
    assert params(before, "message") == [TOLD]
    assert "result" in answer
    assert gateway.authority.asked[0].body.client.log_level == "info"


@pytest.mark.parametrize("given", [headers(), LEGACY], ids=["modern", "legacy"])
async def test_nothing_is_lost_where_another_replica_projects(
    suite: World, given: dict[str, str]
) -> None:
    """They share one group: the facts of a call come to either of them."""
    suite.authority.judge = busy
    async with suite.gateway() as one, suite.gateway():
        for _ in range(8):
            body = older(**TOKEN) if given is LEGACY else call(meta=LOGS | TOKEN)
            found = await told(one, body, given)
            assert [one["progress"] for one in params(found, "progress")] == [1, 2, 4]
            assert params(found, "message") == [TOLD]
