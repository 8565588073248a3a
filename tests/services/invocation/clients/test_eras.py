"""The same promises for a server of either era, over HTTP: the CRM with its failures."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from interlock.errors import Refused
from interlock.samples.crm import Book, Failure, Trouble, crm_app
from interlock.samples.crm.trouble import How
from services.invocation.clients import Reach, UpstreamCall, UpstreamError, Upstreams
from tests.interlock.samples.serving import serving
from tests.services.invocation.clients.talking import to, until

GRANT = '{"opportunity_id":"opp-1","percent":5}'


@dataclass(frozen=True)
class Crm:
    url: str
    trouble: Trouble
    version: str

    def call(self, tool: str, arguments: str = "{}", **more: Any) -> UpstreamCall:
        return UpstreamCall(to(self.url), tool, arguments, more.pop("timeout", 10), **more)


@pytest.fixture(params=["2026-07-28", "2025-11-25"])
async def crm(request: pytest.FixtureRequest) -> AsyncIterator[Crm]:
    trouble = Trouble()
    app = crm_app(trouble=trouble, handshake_only=request.param == "2025-11-25")
    async with serving(app) as base:
        yield Crm(f"{base}/mcp", trouble, request.param)


async def test_it_is_inspected_at_the_version_that_it_speaks(
    crm: Crm, upstreams: Upstreams
) -> None:
    found = await upstreams.inspect(to(crm.url))
    assert found.protocol_version == crm.version
    assert (found.server_name, found.server_version) == ("crm", "1.0.0")
    assert found.instructions.startswith("Opportunities")
    tools = {tool["name"]: tool for tool in map(json.loads, found.tools)}
    assert len(tools) == 5
    assert tools["update_stage"]["annotations"]["idempotentHint"] is True


async def test_a_call_is_executed_once_under_its_task(crm: Crm, upstreams: Upstreams) -> None:
    answer = await upstreams.call(crm.call("grant_discount", GRANT, task_id="task-1"))
    assert json.loads(answer.result)["structuredContent"]["discount"] == 5
    assert crm.trouble.log().by_task == {"task-1": 1}


async def test_progress_is_told(crm: Crm, upstreams: Upstreams) -> None:
    told: list[tuple[float, float | None, str | None]] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, total, message))

    await upstreams.call(crm.call("export_customers", on_progress=on_progress))
    assert told == [(1, 4, "Northwind"), (2, 4, "Contoso"), (3, 4, "Fabrikam"), (4, 4, "Tailspin")]


async def test_an_error_of_the_tool_is_an_answer(crm: Crm, upstreams: Upstreams) -> None:
    answer = await upstreams.call(
        crm.call("grant_discount", '{"opportunity_id":"opp-9","percent":5}')
    )
    assert answer.is_error


def failing(how: How, **more: Any) -> Failure:
    return Failure(tool="grant_discount", how=how, **more)


@pytest.mark.parametrize(
    ("failure", "reach", "executed"),
    [
        (failing(How.STATUS), Reach.LOST, 0),
        (failing(How.STATUS, retry_after=3), Reach.NOT_SENT, 0),
        (failing(How.STATUS, status=429), Reach.NOT_SENT, 0),
        (failing(How.STATUS, status=403), Reach.ANSWERED, 0),
        (failing(How.DROP), Reach.LOST, 0),
        (failing(How.DROP_AFTER), Reach.LOST, 1),
    ],
)
async def test_what_a_failure_proves_and_that_the_next_call_works(
    crm: Crm, upstreams: Upstreams, failure: Failure, reach: Reach, executed: int
) -> None:
    await upstreams.inspect(to(crm.url))
    crm.trouble.arm(failure)
    with pytest.raises(UpstreamError) as raised:
        await upstreams.call(crm.call("grant_discount", GRANT))
    assert (raised.value.reach, raised.value.retry_after) == (reach, failure.retry_after)
    assert crm.trouble.log().executed.get("grant_discount", 0) == executed
    await upstreams.call(crm.call("grant_discount", GRANT))
    assert crm.trouble.log().executed["grant_discount"] == executed + 1


async def test_a_failing_call_does_not_disturb_those_beside_it(
    crm: Crm, upstreams: Upstreams
) -> None:
    await upstreams.inspect(to(crm.url))
    crm.trouble.arm(Failure(tool="grant_discount", how=How.DROP, times=3))
    dropped = [upstreams.call(crm.call("grant_discount", GRANT)) for _ in range(3)]
    working = [upstreams.call(crm.call("search_opportunities")) for _ in range(10)]
    ended = await asyncio.gather(*dropped, *working, return_exceptions=True)
    assert [isinstance(one, UpstreamError) for one in ended] == [True] * 3 + [False] * 10


async def test_a_cancelled_call_is_cancelled_at_the_server(crm: Crm, upstreams: Upstreams) -> None:
    await upstreams.inspect(to(crm.url))
    crm.trouble.arm(Failure(tool="grant_discount", how=How.DELAY, seconds=600))
    call = asyncio.create_task(upstreams.call(crm.call("grant_discount", GRANT, timeout=60)))
    await until(lambda: not crm.trouble.armed)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await until(lambda: crm.trouble.log().cancelled == {"grant_discount": 1})
    assert crm.trouble.log().executed == {}


async def test_a_slow_call_is_lost_and_cancelled_at_the_server(
    crm: Crm, upstreams: Upstreams
) -> None:
    await upstreams.inspect(to(crm.url))
    crm.trouble.arm(Failure(tool="grant_discount", how=How.DELAY, seconds=600))
    with pytest.raises(UpstreamError) as raised:
        await upstreams.call(crm.call("grant_discount", GRANT, timeout=0.3))
    assert raised.value.reach is Reach.LOST
    await until(lambda: crm.trouble.log().cancelled == {"grant_discount": 1})


async def test_a_guarded_address_is_refused(crm: Crm) -> None:
    guarded = Upstreams()
    try:
        with pytest.raises(Refused) as refused:
            await guarded.call(crm.call("search_opportunities"))
        assert refused.value.code == "address_not_allowed"
    finally:
        await guarded.close()


async def test_a_session_that_the_server_forgot_is_opened_anew(upstreams: Upstreams) -> None:
    book = Book()
    switch = Switch(crm_app(book, handshake_only=True), crm_app(book, handshake_only=True))
    async with serving(switch.apps[0]), serving(switch.apps[1]), serving(switch) as base:
        call = UpstreamCall(to(f"{base}/mcp"), "grant_discount", GRANT, 10)
        await upstreams.call(call)
        switch.to = 1
        with pytest.raises(UpstreamError) as raised:
            await upstreams.call(call)
        assert raised.value.reach is Reach.NOT_SENT
        await upstreams.call(call)
        await upstreams.close()
    assert book.deals["opp-1"].discount == 10


async def test_a_server_that_moved_to_the_other_era_is_found_again(upstreams: Upstreams) -> None:
    book = Book()
    switch = Switch(crm_app(book), crm_app(book, handshake_only=True))
    async with serving(switch.apps[0]), serving(switch.apps[1]), serving(switch) as base:
        call = UpstreamCall(to(f"{base}/mcp"), "grant_discount", GRANT, 10)
        for era in (0, 1, 0):
            switch.to = era
            with_doubt = [await outcome(upstreams, call) for _ in range(3)]
            assert with_doubt[-1] is None
            assert with_doubt.count(None) >= 2
    assert book.deals["opp-1"].discount >= 30


class Switch:
    """One address, behind which a server is replaced by another."""

    def __init__(self, first: Any, second: Any) -> None:
        self.apps = (first, second)
        self.to = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self.apps[self.to](scope, receive, send)


async def outcome(upstreams: Upstreams, call: UpstreamCall) -> Reach | None:
    try:
        await upstreams.call(call)
    except UpstreamError as error:
        return error.reach
    return None
