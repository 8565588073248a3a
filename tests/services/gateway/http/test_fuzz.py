"""Whatever is posted to the MCP endpoint is answered: soon, as the client's fault, without insides.

`INTERLOCK_FUZZ=full` makes it look fifty times longer.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from interlock.contracts.catalogue import Execution
from tests.fuzz import fuzzed, require_sound
from tests.services.gateway.build import Gateway, key_of
from tests.services.gateway.http.raw import call, headers, message, post
from tests.services.gateway.http.test_rounds import ASKABLE, ELICIT, SURE, asking
from tests.services.gateway.http.test_tasks_mcp import KNOWS, offer

JSON_BODY = {"Content-Type": "application/json"}
WITHIN = 30.0
"""Seconds for one answer on a machine that does other things, too."""
METHODS = (
    "tools/call",
    "tools/list",
    "server/discover",
    "initialize",
    "ping",
    "resources/list",
    "resources/read",
    "resources/templates/list",
    "prompts/list",
    "prompts/get",
    "completion/complete",
    "logging/setLevel",
    "tasks/get",
    "tasks/update",
    "tasks/cancel",
    "notifications/initialized",
    "notifications/cancelled",
)
"""Not `subscriptions/listen`, which is to last."""
VERSIONS = ("2026-07-28", "2025-11-25", "2025-06-18", "1999-01-01", "")
TEXT = st.text(max_size=20)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    TEXT,
    st.sampled_from(["crm__search", "search", "crm", "\x00", "\ud800", "=?base64?eA==?="]),
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
META = st.dictionaries(
    st.sampled_from(
        [
            "io.modelcontextprotocol/protocolVersion",
            "io.modelcontextprotocol/clientCapabilities",
            "io.modelcontextprotocol/clientInfo",
            "io.modelcontextprotocol/logLevel",
            "progressToken",
            "traceparent",
        ]
    ),
    st.one_of(st.sampled_from(VERSIONS), st.just({}), JSON),
)
PARAMS = st.fixed_dictionaries(
    {},
    optional={
        "_meta": META | JSON,
        "name": st.sampled_from(["crm__search", "crm__nope", "search"]) | JSON,
        "arguments": st.fixed_dictionaries({"query": JSON}) | JSON,
        "uri": JSON,
        "ref": st.fixed_dictionaries({"type": st.sampled_from(["ref/prompt", "ref/resource"])})
        | JSON,
        "argument": JSON,
        "cursor": JSON,
        "taskId": JSON,
        "inputResponses": JSON,
        "requestState": JSON,
        "protocolVersion": st.sampled_from(VERSIONS) | JSON,
        "capabilities": JSON,
        "clientInfo": JSON,
    },
)
MESSAGE = st.fixed_dictionaries(
    {"method": st.sampled_from(METHODS) | JSON},
    optional={"jsonrpc": st.just("2.0") | JSON, "id": JSON, "params": PARAMS | JSON},
)
FIELD = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "MCP-Protocol-Version": st.sampled_from(VERSIONS) | FIELD,
        "Mcp-Method": st.sampled_from(METHODS) | FIELD,
        "Mcp-Name": st.sampled_from(["crm__search", "=?base64?eA==?=", "=?base64?!?="]) | FIELD,
        "Mcp-Session-Id": FIELD,
        "Mcp-Param-Query": FIELD,
        "Accept": st.sampled_from(["application/json, text/event-stream", "*/*", "text/html"]),
        "Content-Type": st.sampled_from(["application/json", "text/plain"]),
        "Last-Event-ID": FIELD,
        "traceparent": FIELD,
        "Prefer": FIELD,
    },
)
PATHS = st.sampled_from(["/mcp", "/servers/crm/mcp", "/servers/nope/mcp", "/servers/%00/mcp"])


@pytest.fixture
async def client(gateway: Gateway) -> AsyncIterator[httpx2.AsyncClient]:
    """One for all examples: to make one costs more than to answer it."""
    async with gateway.client() as client:
        yield client


async def ask(client: httpx2.AsyncClient, path: str, content: bytes, given: dict[str, str]) -> None:
    async with asyncio.timeout(WITHIN):
        told = await client.post(path, content=content, headers=given)
    require_sound(told.status_code, told.text, key_of("copilot"))


@given(path=PATHS, message=MESSAGE, given=HEADERS)
@example(path="/mcp", message=call(), given=headers())
@fuzzed(60)
async def test_no_message_breaks_the_door(
    client: httpx2.AsyncClient, path: str, message: dict[str, Any], given: dict[str, str]
) -> None:
    content = json.dumps(message).encode()
    await ask(client, path, content, given)


@given(path=PATHS, content=st.binary(max_size=200) | JSON.map(json.dumps).map(str.encode))
@example(path="/mcp", content=b"[" * 100_000)
@example(path="/mcp", content=b'{"id":' + b"9" * 10_000 + b"}")
@example(path="/mcp", content=b'{"id":1,"id":2}')
@example(path="/mcp", content=b'{"method":"\\ud800"}')
@example(path="/mcp", content=b'{"id":1e999}')
@fuzzed(20)
async def test_no_bytes_break_the_door(
    client: httpx2.AsyncClient, path: str, content: bytes
) -> None:
    await ask(client, path, content, headers() | JSON_BODY)


@given(
    method=st.sampled_from(METHODS) | FIELD,
    name=st.sampled_from(["crm__search", "crm__nope", "=?base64?eA==?="]) | FIELD,
    version=st.sampled_from(VERSIONS) | FIELD,
)
@example(method="tools/list", name="crm__search", version="2026-07-28")
@example(method="tools/call", name="crm__export", version="2026-07-28")
@example(method="tools/call", name="crm__search", version="2025-11-25")
@fuzzed(20)
async def test_headers_that_say_other_than_the_body_never_let_the_call_through(
    gateway: Gateway, client: httpx2.AsyncClient, method: str, name: str, version: str
) -> None:
    """The body is a sound call of `crm__search` (MCP 2026-07-28, "Streamable HTTP")."""
    told_of = (method, name, version)
    before = len(gateway.authority.asked)
    given = headers() | {"Mcp-Method": method, "Mcp-Name": name, "MCP-Protocol-Version": version}
    async with asyncio.timeout(WITHIN):
        told = await post(client, call(), headers=given)
    require_sound(told.status_code, told.text)
    right = told_of == ("tools/call", "crm__search", "2026-07-28")
    assert (len(gateway.authority.asked) > before) is right, told.text


KEYS = st.sampled_from(["sure#0", "sure", "more#0", "sure#1", "#", "__proto__"]) | TEXT
RESPONSE = st.sampled_from([SURE, {"action": "decline"}, {}]) | JSON
RESPONSES = st.dictionaries(KEYS, RESPONSE, max_size=3) | JSON
TASK_METHODS = st.sampled_from(["tasks/get", "tasks/update", "tasks/cancel"])


@given(
    method=TASK_METHODS,
    named=st.sampled_from(["own", "foreign"]) | JSON,
    responses=RESPONSES,
)
@example(method="tasks/update", named="own", responses={"sure#0": SURE, "more#0": SURE})
@fuzzed(40)
async def test_nothing_said_of_a_task_breaks_it_or_the_door(
    gateway: Gateway, client: httpx2.AsyncClient, method: str, named: Any, responses: Any
) -> None:
    """The task is one that asks; whatever is said, its owner sees it afterwards, and whole."""
    gateway.authority.judge = asking({"sure": ELICIT, "more": ELICIT})
    offer(gateway, Execution.TASK)
    await gateway.host.reader.load()
    own = (await post(client, call(meta=KNOWS))).json()["result"]["taskId"]
    named = own if named == "own" else named
    said = {"taskId": named, "inputResponses": responses}
    content = json.dumps(message(method, meta=KNOWS, **said)).encode()
    await ask(client, "/mcp", content, headers(method, None) | JSON_BODY)
    found = await post(
        client, message("tasks/get", meta=KNOWS, taskId=own), headers=headers("tasks/get", own)
    )
    assert found.json()["result"]["status"] in ("working", "input_required", "completed")


@given(responses=RESPONSES, state=st.sampled_from(["own"]) | JSON)
@example(responses={"sure": SURE}, state="own")
@fuzzed(30)
async def test_no_answer_to_a_call_that_asks_breaks_it_or_the_door(
    gateway: Gateway, client: httpx2.AsyncClient, responses: Any, state: Any
) -> None:
    gateway.authority.judge = asking({"sure": ELICIT})
    first = (await post(client, call(meta=ASKABLE))).json()["result"]
    state = first["requestState"] if state == "own" else state
    said = {"requestState": state, "inputResponses": responses}
    content = json.dumps(call(meta=ASKABLE, **said)).encode()
    await ask(client, "/mcp", content, headers() | JSON_BODY)
    again = call(meta=ASKABLE, requestState=first["requestState"], inputResponses={"sure": SURE})
    told = (await post(client, again)).json()
    assert told.get("result", {}).get("resultType") == "complete" or told["error"]["code"] == -32602


@given(scheme=st.sampled_from(["Bearer", "bearer", "Basic", ""]) | FIELD, token=FIELD)
@example(scheme="Bearer", token="ilk_")
@example(scheme="Bearer", token="ilk_copilot_")
@example(scheme="Bearer", token="a.b.c")
@example(scheme="Bearer", token="eyJhbGciOiJub25lIn0.e30.")
@fuzzed(20)
async def test_no_credentials_break_the_door_or_open_it(
    client: httpx2.AsyncClient, scheme: str, token: str
) -> None:
    async with asyncio.timeout(WITHIN):
        given = headers() | {"Authorization": f"{scheme} {token}".strip()}
        told = await post(client, call(), headers=given)
    assert told.status_code == 401, told.text
    require_sound(told.status_code, told.text)


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "BREW"])
async def test_no_other_method_does_anything(gateway: Gateway, method: str) -> None:
    async with gateway.client() as client:
        told = await client.request(method, "/mcp", content=b"{}")
    assert told.status_code in (405, 400)
