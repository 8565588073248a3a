"""The plain call over HTTP: what goes on the wire, what comes back, what a failure proves."""

import asyncio
import json
from typing import Any

import pytest
from mcp.shared.inbound import decode_header_value

from interlock.contracts.upstream import TASK_ID_META
from interlock.errors import Refused
from services.invocation.clients import Reach, UpstreamCall, UpstreamError, Upstreams
from services.invocation.clients.text import LARGEST
from tests.services.invocation.clients.talking import Heard, Talk, http, result, talking, to

DONE = '{"content": [], "resultType":"complete",  "isError":false, "n": 1.10}'


def saying(answer: bytes) -> Talk:
    async def talk(heard: Heard, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)

    return talk


def dropping(answer: bytes = b"") -> Talk:
    async def talk(heard: Heard, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()
        writer.close()

    return talk


async def failing(upstreams: Upstreams, talk: Talk, seconds: float = 5) -> UpstreamError:
    async with talking(talk) as url:
        with pytest.raises(UpstreamError) as raised:
            await upstreams.call(UpstreamCall(to(url), "grant", "{}", seconds))
    return raised.value


async def test_the_bytes_of_the_arguments_are_on_the_wire_as_they_came(
    upstreams: Upstreams,
) -> None:
    arguments = '{ "b":1.10,"a" : 12345678901234567890123, "s":"\\u00e9é" }'
    heard: list[Heard] = []

    async def talk(one: Heard, writer: asyncio.StreamWriter) -> None:
        heard.append(one)
        writer.write(result(DONE))

    async with talking(talk) as url:
        call = UpstreamCall(
            to(url, authorization="Bearer secret"),
            "grant",
            arguments,
            5,
            meta={"traceparent": "00-1-2-01"},
            task_id="task-1",
        )
        answer = await upstreams.call(call)
    assert answer.result == DONE
    assert not answer.is_error
    assert arguments.encode() in heard[0].body
    params = heard[0].message["params"]
    assert params["_meta"][TASK_ID_META] == "task-1"
    assert params["_meta"]["traceparent"] == "00-1-2-01"
    assert params["_meta"]["io.modelcontextprotocol/protocolVersion"] == "2026-07-28"
    assert params["_meta"]["io.modelcontextprotocol/clientCapabilities"] == {}
    assert "progressToken" not in params["_meta"]
    sent = heard[0].headers
    assert sent["mcp-protocol-version"] == "2026-07-28"
    assert (sent["mcp-method"], sent["mcp-name"]) == ("tools/call", "grant")
    assert sent["authorization"] == "Bearer secret"


async def test_annotated_arguments_are_mirrored_in_headers(upstreams: Upstreams) -> None:
    heard: list[Heard] = []

    async def talk(one: Heard, writer: asyncio.StreamWriter) -> None:
        heard.append(one)
        writer.write(result(DONE))

    schema = {"properties": {"region": {"type": "string", "x-mcp-header": "Region"}}}
    definition = json.dumps({"name": "grant", "inputSchema": {"type": "object", **schema}})
    async with talking(talk) as url:
        for region in ("eu", "Zürich"):
            arguments = json.dumps({"region": region})
            await upstreams.call(UpstreamCall(to(url), "grant", arguments, 5, definition))
    assert heard[0].headers["mcp-param-region"] == "eu"
    assert decode_header_value(heard[1].headers["mcp-param-region"]) == "Zürich"


async def test_progress_on_the_stream_is_told_before_the_answer(upstreams: Upstreams) -> None:
    async def talk(heard: Heard, writer: asyncio.StreamWriter) -> None:
        number, token = heard.message["id"], heard.message["params"]["_meta"]["progressToken"]
        head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + b": hello\n\n")
        for done in (1, 2):
            params = {"progressToken": token, "progress": done, "total": 2, "message": "half"}
            note = {"jsonrpc": "2.0", "method": "notifications/progress", "params": params}
            writer.write(b"data: " + json.dumps(note).encode() + b"\n\n")
            await writer.drain()
        writer.write(b'data: {"jsonrpc":"2.0","id":%d,"result":%s}\n\n' % (number, DONE.encode()))

    told: list[tuple[float, float | None, str | None]] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, total, message))

    async with talking(talk) as url:
        call = UpstreamCall(to(url), "grant", "{}", 5, on_progress=on_progress)
        assert (await upstreams.call(call)).result == DONE
    assert told == [(1, 2, "half"), (2, 2, "half")]


async def test_an_error_of_the_tool_is_an_answer(upstreams: Upstreams) -> None:
    async with talking(saying(result('{"content":[],"isError":true}'))) as url:
        assert (await upstreams.call(UpstreamCall(to(url), "grant", "{}", 5))).is_error


async def test_nobody_listening_means_not_sent(upstreams: Upstreams) -> None:
    async with talking(saying(b"")) as url:
        pass
    with pytest.raises(UpstreamError) as raised:
        await upstreams.call(UpstreamCall(to(url), "grant", "{}", 5))
    assert raised.value.reach is Reach.NOT_SENT


async def test_a_name_that_does_not_resolve_means_not_sent(upstreams: Upstreams) -> None:
    with pytest.raises(UpstreamError) as raised:
        await upstreams.call(UpstreamCall(to("http://crm.invalid/mcp"), "grant", "{}", 5))
    assert raised.value.reach is Reach.NOT_SENT


async def test_a_server_without_tls_means_not_sent(upstreams: Upstreams) -> None:
    async with talking(saying(b"")) as url:
        with pytest.raises(UpstreamError) as raised:
            secure = to(url.replace("http:", "https:"))
            await upstreams.call(UpstreamCall(secure, "grant", "{}", 1))
    assert raised.value.reach is Reach.NOT_SENT


@pytest.mark.parametrize("url", ["ftp://example.org/mcp", "http:///mcp", "nonsense"])
async def test_what_is_no_url_is_refused(upstreams: Upstreams, url: str) -> None:
    with pytest.raises(Refused) as refused:
        await upstreams.call(UpstreamCall(to(url), "grant", "{}", 5))
    assert refused.value.code == "bad_connection"


@pytest.mark.parametrize(
    ("answer", "reach", "retry_after"),
    [
        (http(b"", "429 Too Many Requests", "Retry-After: 7"), Reach.NOT_SENT, 7),
        (http(b"", "429 Too Many Requests"), Reach.NOT_SENT, None),
        (http(b"", "503 Service Unavailable", "Retry-After: 2"), Reach.NOT_SENT, 2),
        (http(b"", "503 Service Unavailable"), Reach.LOST, None),
        (http(b"<html>", "502 Bad Gateway", "Content-Type: text/html"), Reach.LOST, None),
        (http(b"", "504 Gateway Timeout"), Reach.LOST, None),
        (http(b"", "500 Internal Server Error"), Reach.LOST, None),
        (http(b"", "408 Request Timeout"), Reach.LOST, None),
        (http(b"", "202 Accepted"), Reach.LOST, None),
        (http(b"", "401 Unauthorized"), Reach.ANSWERED, None),
        (http(b"", "413 Content Too Large"), Reach.ANSWERED, None),
        (http(b"", "307 Temporary Redirect", "Location: /other"), Reach.ANSWERED, None),
        (http(b"<html>", "200 OK", "Content-Type: text/html"), Reach.LOST, None),
        (http(b'{"jsonrpc":"2.0","id":1}'), Reach.LOST, None),
        (http(b'{"jsonrpc":"2.0","id":1,"result":[]}'), Reach.LOST, None),
        (result('{"resultType":"task","taskId":"x"}'), Reach.ANSWERED, None),
        (result('{"resultType":"input_required"}'), Reach.LOST, None),
        (result('{"resultType":"input_required","inputRequests":[]}'), Reach.LOST, None),
        (http(b"", "200 OK", "Content-Type: text/event-stream"), Reach.LOST, None),
    ],
)
async def test_what_an_answer_without_a_result_proves(
    upstreams: Upstreams, answer: bytes, reach: Reach, retry_after: float | None
) -> None:
    error = await failing(upstreams, saying(answer))
    assert (error.reach, error.retry_after) == (reach, retry_after)


@pytest.mark.parametrize("status", ["200 OK", "400 Bad Request", "500 Internal Server Error"])
async def test_a_json_rpc_error_is_kept_with_its_text(upstreams: Upstreams, status: str) -> None:
    text = '{"code":-32603, "message":"boom",  "data":{"n":1.10}}'
    answer = http(b'{"jsonrpc":"2.0","id":1,"error":%s}' % text.encode(), status)
    error = await failing(upstreams, saying(answer))
    assert (error.reach, error.code, error.error) == (Reach.ANSWERED, -32603, text)
    assert error.detail == "server `crm` refused with `-32603`: boom"


@pytest.mark.parametrize(
    "sent",
    [b"", b"HTTP/1.1 200 OK\r\n", http(b'{"jsonrpc"')[:-3], result(DONE)[:-1]],
    ids=["nothing", "half a head", "half a body", "all but a byte"],
)
async def test_a_connection_that_breaks_after_the_call_means_lost(
    upstreams: Upstreams, sent: bytes
) -> None:
    assert (await failing(upstreams, dropping(sent))).reach is Reach.LOST


async def test_a_connection_that_was_closed_before_the_write_means_not_sent(
    upstreams: Upstreams, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given out by the pool a moment before its end was noticed."""
    heard: list[Heard] = []

    async def talk(one: Heard, writer: asyncio.StreamWriter) -> None:
        heard.append(one)
        writer.write(result(DONE))

    pool = upstreams._http.connector
    assert pool is not None
    real = pool.connect

    async def closed(*given: Any, **more: Any) -> Any:
        connection = await real(*given, **more)
        assert connection.transport is not None
        connection.transport.close()
        return connection

    async with talking(talk) as url:
        call = UpstreamCall(to(url), "grant", '{"text":"%s"}' % ("x" * 200_000), 5)
        await upstreams.call(call)
        calls = len(heard)
        monkeypatch.setattr(pool, "connect", closed)
        with pytest.raises(UpstreamError, match="before anything was sent") as raised:
            await upstreams.call(call)
    assert (raised.value.reach, len(heard)) == (Reach.NOT_SENT, calls)


async def test_a_post_is_sent_once_even_on_a_kept_alive_connection_that_breaks(
    upstreams: Upstreams,
) -> None:
    calls = 0

    async def talk(heard: Heard, writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            writer.write(result(DONE))
        else:
            writer.close()

    async with talking(talk) as url:
        await upstreams.call(UpstreamCall(to(url), "grant", "{}", 5))
        with pytest.raises(UpstreamError) as raised:
            await upstreams.call(UpstreamCall(to(url), "grant", "{}", 5))
    assert raised.value.reach is Reach.LOST
    assert calls == 2


async def test_a_server_that_never_says_what_it_speaks_was_not_sent_the_call(
    upstreams: Upstreams,
) -> None:
    async with talking(saying(b""), greets=False) as url:
        with pytest.raises(UpstreamError) as raised:
            await upstreams.call(UpstreamCall(to(url), "grant", "{}", 0.2))
    assert raised.value.reach is Reach.NOT_SENT
    assert raised.value.detail == "server `crm` was not ready within `0.2` seconds"


async def test_silence_means_lost(upstreams: Upstreams) -> None:
    error = await failing(upstreams, saying(b""), seconds=0.2)
    assert (error.reach, error.detail) == (
        Reach.LOST,
        "server `crm` did not answer within `0.2` seconds",
    )


@pytest.mark.parametrize("chunked", [False, True])
async def test_an_answer_that_is_too_large_means_lost(upstreams: Upstreams, chunked: bool) -> None:
    async def talk(heard: Heard, writer: asyncio.StreamWriter) -> None:
        length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {LARGEST + 1}"
        writer.write(
            f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{length}\r\n\r\n".encode()
        )
        piece = b"x" * 65536
        while True:
            writer.write(b"10000\r\n" + piece + b"\r\n" if chunked else piece)
            await writer.drain()

    error = await failing(upstreams, talk)
    assert error.reach is Reach.LOST
    assert "larger than" in error.detail


async def test_cancelling_the_call_closes_its_connection(upstreams: Upstreams) -> None:
    begun, gone = asyncio.Event(), asyncio.Event()

    async def talk(heard: Heard, writer: asyncio.StreamWriter) -> None:
        begun.set()
        await heard.reader.read()
        gone.set()

    async with talking(talk) as url, asyncio.timeout(5):
        call = asyncio.create_task(upstreams.call(UpstreamCall(to(url), "grant", "{}", 30)))
        await begun.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await gone.wait()


async def test_an_unsupported_version_is_not_sent_and_the_era_is_asked_for_again(
    upstreams: Upstreams,
) -> None:
    error = b'{"jsonrpc":"2.0","id":1,"error":{"code":-32022,"message":"no"}}'
    answers = [http(error, "400 Bad Request"), result(DONE)]

    async def talk(heard: Heard, writer: asyncio.StreamWriter) -> None:
        writer.write(answers.pop(0))

    async with talking(talk) as url:
        call = UpstreamCall(to(url), "grant", "{}", 5)
        with pytest.raises(UpstreamError) as raised:
            await upstreams.call(call)
        assert raised.value.reach is Reach.NOT_SENT
        assert (await upstreams.call(call)).result == DONE


async def test_all_pages_of_tools_are_read_and_kept_as_they_are_written(
    upstreams: Upstreams,
) -> None:
    async def talk(heard: Heard, writer: asyncio.StreamWriter) -> None:
        if "cursor" not in heard.message["params"]:
            page = '{"tools":[ {"name":"a", "vendor":1.10} ],"nextCursor":"\\u00e9"}'
        else:
            assert heard.message["params"]["cursor"] == "é"
            page = '{"tools":[{"name":"b"}]}'
        writer.write(result(page))

    async with talking(talk) as url:
        found = await upstreams.inspect(to(url))
    assert found.tools == ('{"name":"a", "vendor":1.10}', '{"name":"b"}')
    assert found.protocol_version == "2026-07-28"


async def test_calls_one_after_the_other_share_one_connection(upstreams: Upstreams) -> None:
    connections: set[asyncio.StreamReader] = set()

    async def answer(heard: Heard, writer: asyncio.StreamWriter) -> None:
        connections.add(heard.reader)
        writer.write(result('{"content":[]}', heard.message["id"]))

    async with talking(answer) as url:
        for _ in range(20):
            await upstreams.call(UpstreamCall(to(url), "search", "{}", 10))
    assert len(connections) == 1
