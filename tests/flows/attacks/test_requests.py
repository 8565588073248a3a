"""Requests that are no requests, over real sockets: each gets its answer, and nothing runs."""

import http.client
import json
import socket
from typing import Any

import pytest

from tests.components.crm import NOT_REPEATABLE, REPEATABLE, SERVER
from tests.components.suite import Suite
from tests.components.world import World

MODERN = "2026-07-28"
META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "attack", "version": "1"},
}
TOOL = f"{SERVER}__{NOT_REPEATABLE}"
GOOD = {"opportunity_id": "opp-1", "percent": 5}
ONE_MIB = 1024 * 1024


def send(
    here: World, path: str, body: bytes, headers: dict[str, str] | None = None
) -> tuple[int, Any]:
    """One POST: its status, and its JSON (the last event's, where it is a stream)."""
    suite = here.suite
    connection = http.client.HTTPConnection("127.0.0.1", suite.port, timeout=30)
    said = {
        "Authorization": f"Bearer {here.key}",
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": MODERN,
        **(headers or {}),
    }
    try:
        connection.request("POST", path, body, said)
        answer = connection.getresponse()
        text = answer.read().decode()
        return answer.status, _json(text)
    finally:
        connection.close()


def _json(text: str) -> Any:
    events = [line.removeprefix("data: ") for line in text.splitlines() if line[:6] == "data: "]
    try:
        return json.loads(events[-1] if events else text)
    except ValueError:
        return text


def rpc(method: str, params: Any, **other: Any) -> bytes:
    return json.dumps(
        {"jsonrpc": "2.0", "id": 1, "method": method, "params": params} | other
    ).encode()


def call(arguments: Any, name: str = TOOL) -> bytes:
    return rpc("tools/call", {"name": name, "arguments": arguments, "_meta": META})


def headers_of(name: str = TOOL) -> dict[str, str]:
    return {"Mcp-Method": "tools/call", "Mcp-Name": name}


MALFORMED = {
    "not JSON": (b"{", -32700),
    "nothing": (b"", -32700),
    "half a character": (b'{"jsonrpc":"2.0","id":1,"method":"\xff"}', -32700),
    "a number": (b"7", -32600),
    "a list": (b"[]", -32600),
    "no version": (b'{"id":1,"method":"tools/list"}', -32600),
    "old version": (b'{"jsonrpc":"1.0","id":1,"method":"tools/list"}', -32600),
    "no method": (b'{"jsonrpc":"2.0","id":1}', -32600),
    "method is a number": (b'{"jsonrpc":"2.0","id":1,"method":7}', -32600),
    "params is text": (b'{"jsonrpc":"2.0","id":1,"method":"tools/list","params":"x"}', -32600),
    "id is a list": (b'{"jsonrpc":"2.0","id":[1],"method":"tools/list"}', -32600),
    "very deep": (b"[" * 100_000, None),
    "no name": (rpc("tools/call", {"arguments": {}, "_meta": META}), None),
}


@pytest.mark.parametrize("what", MALFORMED)
def test_malformed_json_rpc_is_answered_as_json_rpc_says(attacked: World, what: str) -> None:
    body, code = MALFORMED[what]
    status, told = send(attacked, "/mcp", body)
    assert 400 <= status < 500, (status, told)
    assert isinstance(told, dict), told
    assert "error" in told, told
    assert code is None or told["error"]["code"] == code, told


def test_a_method_that_is_not_there_is_named_so(attacked: World) -> None:
    body = rpc("tools/destroy", {"_meta": META})
    status, told = send(attacked, "/mcp", body, {"Mcp-Method": "tools/destroy"})
    assert (status, told["error"]["code"]) == (404, -32601), told


BAD_ARGUMENTS = {
    "twice the same key": b'{"opportunity_id":"opp-1","percent":5,"percent":50}',
    "a lone surrogate": b'{"opportunity_id":"\\ud800","percent":5}',
    "not a number": b'{"opportunity_id":"opp-1","percent":NaN}',
    "infinite": b'{"opportunity_id":"opp-1","percent":1e999}',
}


@pytest.mark.parametrize("what", BAD_ARGUMENTS)
@pytest.mark.parametrize("path", ["/v1/tasks", "/mcp"])
def test_arguments_that_two_readers_would_read_differently_are_refused(
    attacked: World, path: str, what: str
) -> None:
    before = attacked.crm.calls()
    given = call("HERE") if path == "/mcp" else task("HERE")
    body = given.replace(b'"HERE"', BAD_ARGUMENTS[what])
    status, told = send(attacked, path, body, headers_of() if path == "/mcp" else {})
    assert 400 <= status < 500 or told["result"]["isError"], (status, told)
    assert attacked.crm.calls() == before


def test_arguments_against_the_tools_schema_are_refused_with_all_that_is_wrong(
    attacked: World,
) -> None:
    status, told = send(attacked, "/v1/tasks", task({"percent": 99, "opportunity_id": 7}))
    assert status == 422, told
    assert {one["at"] for one in told["violations"]} == {"/percent", "/opportunity_id"}


def test_a_tool_that_is_not_there_is_refused(attacked: World) -> None:
    status, told = send(attacked, "/v1/tasks", task({}, tool="nothing"))
    assert (status, told["code"]) == (404, "not_found")
    status, told = send(attacked, "/mcp", call({}, "crm__nothing"), headers_of("crm__nothing"))
    assert status in {200, 400, 404}
    assert "error" in told or told["result"]["isError"], told


def test_a_header_that_contradicts_the_body_is_refused(attacked: World) -> None:
    before = attacked.crm.calls()
    other = headers_of(f"{SERVER}__{REPEATABLE}")
    status, told = send(attacked, "/mcp", call(GOOD), other)
    assert (status, told["error"]["code"]) == (400, -32020), told
    assert attacked.crm.calls() == before


@pytest.mark.parametrize("path", ["/v1/tasks", "/mcp"])
def test_a_body_too_large_is_refused_before_it_is_read(attacked: World, path: str) -> None:
    big = json.dumps({"x": "y" * (2 * ONE_MIB)}).encode()
    status, _ = send(attacked, path, big)
    assert status == 413


@pytest.mark.parametrize("path", ["/v1/tasks", "/mcp"])
def test_a_body_too_large_in_chunks_is_refused_too(attacked: World, path: str) -> None:
    with socket.create_connection(("127.0.0.1", attacked.suite.port), timeout=30) as line:
        line.sendall(
            f"POST {path} HTTP/1.1\r\nHost: {attacked.suite.url[7:]}\r\n"
            f"Authorization: Bearer {attacked.key}\r\nContent-Type: application/json\r\n"
            "Accept: application/json, text/event-stream\r\n"
            "Transfer-Encoding: chunked\r\n\r\n".encode()
        )
        chunk = b"%x\r\n%b\r\n" % (ONE_MIB // 4, b"y" * (ONE_MIB // 4))
        try:
            for _ in range(12):
                line.sendall(chunk)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it had enough, and said so
        assert b" 413 " in line.recv(65536).partition(b"\r\n")[0]


@pytest.mark.parametrize(
    "request_line",
    [b"GARBAGE\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x00\x01\x02\xff\r\n\r\n", b"\r\n" * 50],
)
def test_what_is_no_http_does_not_disturb_the_others(attacked: World, request_line: bytes) -> None:
    with socket.create_connection(("127.0.0.1", attacked.suite.port), timeout=10) as line:
        line.sendall(request_line)
        line.shutdown(socket.SHUT_WR)
        line.recv(65536)
    assert attacked.suite.ready()


def test_another_ones_task_is_not_there(attacked: World) -> None:
    suite = attacked.suite
    mine = suite.ask("POST", "/v1/tasks", json.loads(task(GOOD)), attacked.key)["id"]
    suite.ask("PUT", "/auth/v1/agents/stranger", {})
    stranger = suite.ask("POST", "/auth/v1/keys", {"agent": "stranger"})["key"]
    for method in ("GET", "DELETE"):
        assert status_of(suite, method, f"/v1/tasks/{mine}", stranger) == 404
    assert status_of(suite, "GET", f"/v1/tasks/{mine}/events", stranger) == 404
    assert suite.ask("GET", f"/v1/tasks/{mine}", token=attacked.key)["state"] == "succeeded"


def task(arguments: Any, tool: str = NOT_REPEATABLE) -> bytes:
    return json.dumps({"server": SERVER, "tool": tool, "arguments": arguments}).encode()


def status_of(suite: Suite, method: str, path: str, token: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", suite.port, timeout=10)
    try:
        connection.request(method, path, headers={"Authorization": f"Bearer {token}"})
        return connection.getresponse().status
    finally:
        connection.close()
