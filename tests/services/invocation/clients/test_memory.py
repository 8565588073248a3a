"""The twin keeps the port's promises."""

import pytest

from interlock.contracts.catalogue import Inspection
from services.invocation.clients import (
    MemoryUpstream,
    Upstream,
    UpstreamAnswer,
    UpstreamCall,
    UpstreamError,
    Upstreams,
)
from tests.services.invocation.clients.talking import to


async def test_it_answers_as_told_and_remembers_what_it_was_asked() -> None:
    async def answer(request: UpstreamCall) -> UpstreamAnswer:
        return UpstreamAnswer(request.arguments, is_error=False)

    twin = MemoryUpstream(answer, {"crm": Inspection(protocol_version="2026-07-28")})
    call = UpstreamCall(to("http://crm.example/mcp"), "echo", '{"a":1}', 5)
    assert (await twin.call(call)).result == '{"a":1}'
    assert twin.calls == [call]
    assert (await twin.inspect(call.connection)).protocol_version == "2026-07-28"
    with pytest.raises(UpstreamError):
        await MemoryUpstream(answer).inspect(call.connection)


async def test_it_and_the_real_one_fit_the_port() -> None:
    async def answer(request: UpstreamCall) -> UpstreamAnswer:
        raise AssertionError

    real = Upstreams()
    ports: list[Upstream] = [MemoryUpstream(answer), real]
    for port in ports:
        await port.close()
