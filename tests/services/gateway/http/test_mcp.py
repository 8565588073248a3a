"""MCP at the wire: both eras, real sockets; plain HTTP where a client would not misbehave."""

import asyncio
import json
from typing import Any
from urllib.parse import quote

import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from interlock.bus import Effects, Envelope
from interlock.contracts.catalogue import Lifecycle
from interlock.contracts.outcomes import TaskFailed, TaskSucceeded
from interlock.contracts.requests import TaskAuthenticated
from interlock.state import CATALOGUE
from interlock.testing import build
from services.gateway.settings import Settings
from tests.services.gateway.build import Gateway, World, eventually, key_of, server, tool
from tests.services.gateway.http.raw import call, frames, headers, message, post
from tests.services.gateway.http.test_rest import deny, hold, nothing, refusals, refused_with
from tests.services.gateway.http.test_stream import start, task_of, tell

ERAS = ["2026-07-28", "legacy"]
SLOW = headers() | {"Accept": "*/*"}
"""Not plain enough for the lean path: goes through the SDK."""
PATHS = pytest.mark.parametrize("given", [headers(), SLOW], ids=["lean", "sdk"])


@pytest.mark.promise("clients")
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("path", ["/mcp", "/servers/crm/mcp"])
async def test_the_official_client_lists_and_calls(gateway: Gateway, era: str, path: str) -> None:
    name = "crm__search" if path == "/mcp" else "search"
    async with gateway.client() as http:
        transport = streamable_http_client(gateway.url + path, http_client=http)
        async with Client(transport, mode=era) as client:
            tools = (await client.list_tools()).tools
            result = await client.call_tool(name, {"query": "acme"})
    assert [one.name for one in tools] == [name]
    assert tools[0].input_schema["required"] == ["query"]
    assert result.is_error is False
    assert result.meta is not None
    assert result.meta["dev.interlock/taskId"] == gateway.authority.asked[0].body.task.id


@pytest.mark.parametrize("era", ERAS)
async def test_a_denial_is_a_tool_error_that_names_the_permission(
    gateway: Gateway, era: str
) -> None:
    gateway.authority.judge = deny
    async with gateway.client() as http:
        transport = streamable_http_client(f"{gateway.url}/mcp", http_client=http)
        async with Client(transport, mode=era) as client:
            result = await client.call_tool("crm__search", {"query": "acme"})
    assert result.is_error is True
    text = str(result.content[0])
    assert "crm:export" in text
    assert "no-exports" in text
    assert gateway.authority.asked[0].body.task.id in text


@pytest.mark.parametrize("era", ERAS)
async def test_progress_reaches_a_client_that_asked_for_it_and_only_grows(
    gateway: Gateway, era: str
) -> None:
    async def run(envelope: Envelope[TaskAuthenticated]) -> Effects:
        task = envelope.body.task
        return [build.progressed(task, seq=1).model_copy(update={"progress": 2.0, "total": 4.0})]

    gateway.authority.judge = run
    told: asyncio.Queue[tuple[float, float | None]] = asyncio.Queue()

    async def told_of(progress: float, total: float | None, message: str | None) -> None:
        told.put_nowait((progress, total))

    async with gateway.client() as http:
        transport = streamable_http_client(f"{gateway.url}/mcp", http_client=http)
        async with Client(transport, mode=era) as client:
            calling = asyncio.ensure_future(
                client.call_tool("crm__search", {"query": "a"}, progress_callback=told_of)
            )
            assert await asyncio.wait_for(told.get(), 5) == (2.0, 4.0)
            for number, value in ((2, 1.0), (3, 3.0)):
                fact = build.progressed(task_of(gateway), number=number)
                await tell(gateway, fact.model_copy(update={"progress": value}))
            assert await asyncio.wait_for(told.get(), 5) == (3.0, None)
            await tell(gateway, build.succeeded(task_of(gateway)))
            assert (await calling).is_error is False


@PATHS
async def test_a_result_is_relayed_with_fields_that_nobody_here_knows(
    gateway: Gateway, given: dict[str, str]
) -> None:
    async def answer(envelope: Envelope[TaskAuthenticated]) -> Effects:
        text = '{"content":[{"type":"text","text":"x","vendor":1}],"vendorTop":{"a":null}}'
        return [TaskSucceeded(task=envelope.body.task, result=text)]

    gateway.authority.judge = answer
    async with gateway.client() as client:
        told = await post(client, call(), headers=given)
    assert told.status_code == 200
    result = told.json()["result"]
    assert result["content"][0]["vendor"] == 1
    assert result["vendorTop"] == {"a": None}
    assert result["resultType"] == "complete"


@PATHS
async def test_the_exact_arguments_travel(gateway: Gateway, given: dict[str, str]) -> None:
    body = json.dumps(call()).replace('{"query": "acme"}', '{"query":   "acme", "n": 1.10}')
    async with gateway.client() as client:
        await post(client, body, headers=given)
    assert gateway.authority.asked[0].body.arguments == '{"query":   "acme", "n": 1.10}'


@PATHS
async def test_the_trace_in_meta_goes_on(gateway: Gateway, given: dict[str, str]) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    meta = {"traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    async with gateway.client() as client:
        await post(client, call(meta=meta), headers=given)
    assert trace in (gateway.authority.asked[0].traceparent or "")


@PATHS
async def test_arguments_against_the_schema_are_a_tool_error_before_the_bus(
    gateway: Gateway, given: dict[str, str]
) -> None:
    async with gateway.client() as client:
        told = await post(client, call({"query": 1, "limit": 0}), headers=given)
    result = told.json()["result"]
    assert result["isError"] is True
    assert "`/query`" in result["content"][0]["text"]
    assert "`/limit`" in result["content"][0]["text"]
    assert gateway.authority.asked == []
    assert (await refused_with(gateway, "invalid")).tool == "search"


@PATHS
async def test_a_client_that_closes_its_stream_cancels(
    gateway: Gateway, given: dict[str, str]
) -> None:
    gateway.authority.judge = start
    async with gateway.client() as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await post(client, call(), headers=given)
    request = await asyncio.wait_for(gateway.authority.cancelled.get(), 5)
    assert request.task.id == task_of(gateway).id
    assert request.by.name == "copilot"


@PATHS
async def test_a_stop_ends_the_stream_and_cancels_nothing(
    suite: World, given: dict[str, str]
) -> None:
    suite.authority.judge = start
    async with suite.gateway() as gateway, gateway.client() as client:
        calling = asyncio.ensure_future(post(client, call(), headers=given))
        await eventually(lambda: suite.authority.asked)
        gateway.host.stopping.set()
        text = (await calling).json()["result"]["content"][0]["text"]
    assert f"/v1/tasks/{task_of(gateway).id}" in text
    assert suite.authority.cancelled.empty()


@PATHS
async def test_a_held_call_says_where_to_look_when_the_wait_ends(
    suite: World, given: dict[str, str]
) -> None:
    suite.authority.judge = hold
    async with suite.gateway(Settings(mcp_wait_seconds=0.2)) as gateway:
        async with gateway.client() as client:
            result = (await post(client, call(), headers=given)).json()["result"]
    assert result["isError"] is True
    assert "approval" in result["content"][0]["text"]
    assert task_of(gateway).id in result["content"][0]["text"]
    assert result["_meta"]["dev.interlock/state"] == "held"


async def test_a_silent_call_becomes_a_stream_that_is_kept_alive(suite: World) -> None:
    suite.authority.judge = start
    async with suite.gateway(Settings(keep_alive_seconds=0.1)) as gateway:
        async with gateway.client() as client:
            body = json.dumps(call())
            async with client.stream("POST", "/mcp", content=body, headers=headers()) as stream:
                seen: list[tuple[str, Any]] = []
                async for frame in frames(stream):
                    seen.append(frame)
                    if len(seen) == 2:
                        await tell(gateway, build.succeeded(task_of(gateway)))
    assert [name for name, _ in seen[:2]] == [":", ":"]
    answer = seen[-1][1]
    assert (answer["id"], answer["result"]["resultType"]) == (7, "complete")


BAD: list[tuple[Any, dict[str, str], int, int]] = [
    (b"{", headers(), 400, -32700),
    (b"[]", headers(), 400, -32600),
    (b'{"jsonrpc":"2.0","id":7,"method":"tools/call","method":"x"}', headers(), 400, -32600),
    ({"jsonrpc": "1.0", "id": 7, "method": "tools/call"}, headers(), 400, -32600),
    (call(), headers(name="other__tool"), 400, -32020),
    (call(), headers(method="tools/list"), 400, -32020),
    (call(), headers(name=None), 400, -32020),
    ({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {}}, headers(), 400, -32602),
    (message("no/such"), headers("no/such", None), 404, -32601),
    (call(name="crm__none"), headers(name="crm__none"), 400, -32602),
    (call(name="none__x"), headers(name="none__x"), 400, -32602),
    (call(name="plain"), headers(name="plain"), 400, -32602),
    (message(name="crm__search", arguments=[1]), headers(), 400, -32602),
]


@pytest.mark.parametrize(("body", "given", "status", "code"), BAD)
async def test_malformed_messages_get_the_protocols_own_errors(
    gateway: Gateway, body: Any, given: dict[str, str], status: int, code: int
) -> None:
    async with gateway.client() as client:
        told = await post(client, body, headers=given)
    assert (told.status_code, told.json()["error"]["code"]) == (status, code)
    assert gateway.authority.asked == []


async def test_an_unknown_tool_is_recorded_once(gateway: Gateway) -> None:
    async with gateway.client() as client:
        await post(client, call(name="crm__none"), headers=headers(name="crm__none"))
        await post(client, call(), headers=headers(name="another"))
    await refused_with(gateway, "protocol")
    assert [one.code for one in refusals(gateway)] == ["not_found", "protocol"]


async def test_there_is_no_stream_to_get_and_no_session_to_delete(gateway: Gateway) -> None:
    async with gateway.client() as client:
        for answer in (await client.get("/mcp"), await client.delete("/mcp")):
            assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


async def test_who_brings_no_token_learns_where_to_get_one(gateway: Gateway) -> None:
    async with gateway.client(headers={"Authorization": "Bearer no"}) as client:
        told = await post(client, call())
        assert told.status_code == 401
        challenge = told.headers["www-authenticate"]
        url = challenge.split('resource_metadata="')[1].split('"')[0]
        assert url == f"{gateway.url}/.well-known/oauth-protected-resource/mcp"
        metadata = (await client.get(url)).json()
        assert metadata["resource"] == f"{gateway.url}/mcp"
        root = await client.get("/.well-known/oauth-protected-resource")
        assert root.json()["resource"] == gateway.url
        one = await client.get("/.well-known/oauth-protected-resource/servers/crm/mcp")
        assert one.json()["resource"] == f"{gateway.url}/servers/crm/mcp"


@pytest.mark.parametrize("name", ['x", evil="y', "x\r\nx-evil: 1", "x\u20ac"])
async def test_no_path_writes_into_a_challenge(gateway: Gateway, name: str) -> None:
    path = f"/servers/{quote(name, safe='')}/mcp"
    async with gateway.client(headers={"Authorization": "Bearer no"}) as client:
        told = await post(client, call(), path=path)
    assert told.status_code == 401
    url = told.headers["www-authenticate"].split('resource_metadata="')[1].split('"')[0]
    assert url == f"{gateway.url}/.well-known/oauth-protected-resource{path}"
    assert 'evil="' not in told.headers["www-authenticate"]
    assert "x-evil" not in told.headers


async def test_a_missing_token_scope_is_a_step_up_challenge(gateway: Gateway) -> None:
    async with gateway.client(headers={"Authorization": f"Bearer {key_of('narrow')}"}) as client:
        told = await post(client, call())
    assert told.status_code == 403
    challenge = told.headers["www-authenticate"]
    assert 'error="insufficient_scope"' in challenge
    assert 'scope="crm:read"' in challenge
    assert gateway.authority.asked == []


async def test_a_page_of_another_origin_may_not_call(gateway: Gateway) -> None:
    async with gateway.client() as client:
        evil = await post(client, call(), headers=headers() | {"Origin": "https://evil.example"})
        ours = await post(client, call(), headers=headers() | {"Origin": gateway.url})
    assert (evil.status_code, ours.status_code) == (403, 200)


async def test_an_oversize_body_is_413(suite: World) -> None:
    async with suite.gateway(Settings(body_limit=1000)) as gateway, gateway.client() as client:
        assert (await post(client, call({"query": "x" * 1000}))).status_code == 413


async def test_a_foreign_server_is_404(gateway: Gateway) -> None:
    async with gateway.client("spy") as client:
        assert (await post(client, call(), path="/servers/crm/mcp")).status_code == 404


async def test_discover_names_versions_and_may_not_be_shared(gateway: Gateway) -> None:
    async with gateway.client() as client:
        body = message("server/discover")
        told = await post(client, body, headers=headers("server/discover", None))
    result = told.json()["result"]
    assert "2026-07-28" in result["supportedVersions"]
    assert result["cacheScope"] == "private"
    assert "tools" in result["capabilities"]


async def test_long_lists_come_in_pages_in_the_order_of_names(gateway: Gateway) -> None:
    tools = [tool(f"t{number:03d}", "crm:read") for number in range(450)]
    gateway.state.publish(CATALOGUE, "acme", "crm", server("crm", "acme", *reversed(tools)))
    names: list[str] = []
    cursor: dict[str, str] = {}
    async with gateway.client() as client:
        await gateway.host.reader.load()
        while True:
            body = message("tools/list", **cursor)
            told = await post(client, body, headers=headers("tools/list", None))
            page = told.json()["result"]
            assert (page["cacheScope"], page["ttlMs"]) == ("private", 5000)
            names += [one["name"] for one in page["tools"]]
            if "nextCursor" not in page:
                break
            cursor = {"cursor": page["nextCursor"]}
    assert names == [f"crm__{one.name}" for one in tools]


async def test_what_cannot_be_called_is_not_listed(gateway: Gateway) -> None:
    retired = server().model_copy(update={"lifecycle": Lifecycle.RETIRED})
    gateway.state.publish(CATALOGUE, "acme", "crm", retired)
    async with gateway.client() as client:
        await gateway.host.reader.load()
        body = message("tools/list")
        told = await post(client, body, headers=headers("tools/list", None))
    assert told.json()["result"]["tools"] == []


async def test_an_older_client_that_leaves_cancels_nothing(gateway: Gateway) -> None:
    gateway.authority.judge = nothing
    body = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": "crm__search", "arguments": {"query": "a"}},
    }
    given = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-11-25"}
    async with gateway.client() as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await post(client, body, headers=given)
        gateway.authority.judge = deny
        await post(client, call())
    assert gateway.authority.cancelled.empty()


async def test_a_header_that_a_tool_declares_must_agree_with_the_argument(
    gateway: Gateway,
) -> None:
    schema = {
        "type": "object",
        "properties": {"region": {"type": "string", "x-mcp-header": "Region"}},
    }
    gateway.state.publish(
        CATALOGUE, "acme", "crm", server("crm", "acme", tool("by", "crm:read", schema=schema))
    )
    body = call({"region": "eu"}, name="crm__by")
    given = headers(name="crm__by")
    async with gateway.client() as client:
        await gateway.host.reader.load()
        wrong = await post(client, body, headers=given | {"Mcp-Param-Region": "us"})
        right = await post(client, body, headers=given | {"Mcp-Param-Region": "eu"})
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (400, -32020)
    assert right.status_code == 200


@PATHS
async def test_a_capability_that_the_client_lacks_is_the_clients_to_see(
    gateway: Gateway, given: dict[str, str]
) -> None:
    error = {"code": -32021, "message": "sample", "data": {"requiredCapabilities": {}}}

    async def judge(envelope: Envelope[TaskAuthenticated]) -> Effects:
        task, said = envelope.body.task, json.dumps(error)
        return [TaskFailed(task=task, code="upstream_error", reason="no", error=said)]

    gateway.authority.judge = judge
    async with gateway.client() as http:
        said = await post(http, call(), headers=given)
    assert (said.status_code, said.json()["error"]) == (400, error)
