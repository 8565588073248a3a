"""MCP Apps, extensions and fields that nobody here knows: from upstream to client as they are."""

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.bench.caller import META, VERSION
from tests.bench.edge import headers
from tests.components.suite import Suite, suite
from tests.interlock.samples.serving import serving

TOOL = {
    "name": "show_board",
    "description": "Shows the board.",
    "inputSchema": {"type": "object", "x-vendor": [1]},
    "annotations": {"readOnlyHint": True, "vendorHint": "kept"},
    "_meta": {"ui": {"resourceUri": "ui://board/view", "csp": {"connectDomains": []}}},
    "vendorTop": {"kept": True},
}
VIEW = {"uri": "ui://board/view", "name": "board", "mimeType": "text/html;profile=mcp-app"}
PAGE = {**VIEW, "text": "<p>board</p>", "_meta": {"ui": {"prefersBorder": True}}, "vendor": 1}
RESULT = {
    "content": [{"type": "text", "text": "shown", "vendorBlock": {"kept": [None, 1.50]}}],
    "structuredContent": {"board": [1, 2]},
    "_meta": {"ui": {"state": "x"}, "vendor.example/kept": 1},
    "vendorTop": "kept",
}
CACHED = {"ttlMs": 0, "cacheScope": "private"}
ANSWERS: dict[str, dict[str, Any]] = {
    "server/discover": {
        "supportedVersions": [VERSION],
        "capabilities": {"tools": {}, "resources": {}, "extensions": {"vendor.example/x": {}}},
        **CACHED,
    },
    "tools/list": {"tools": [TOOL], **CACHED},
    "resources/list": {"resources": [VIEW], **CACHED},
    "resources/templates/list": {"resourceTemplates": [], **CACHED},
    "resources/read": {"contents": [PAGE], **CACHED},
    "tools/call": RESULT,
}


async def answer(request: Request) -> Response:
    """A server of 2026-07-28 that no library has touched."""
    asked = await request.json()
    found = ANSWERS.get(asked["method"])
    if found is None:
        error = {"code": -32601, "message": "what?"}
        return JSONResponse({"jsonrpc": "2.0", "id": asked["id"], "error": error}, 404)
    result = {"resultType": "complete", **found}
    return JSONResponse({"jsonrpc": "2.0", "id": asked["id"], "result": result})


def register(running: Suite, url: str) -> str:
    """The server may be called; the key of who may."""
    server = {
        "name": "board",
        "capability": "a board",
        "owner_team": "tests",
        "technical_owner": "nobody",
        "environment": "development",
        "connection": {"transport": "streamable-http", "url": url},
        "required_scopes": ["board:use"],
        "risk": "low",
    }
    told = running.ask("POST", "/registry/v1/servers", server)
    assert told["inspected"], told["inspect_error"]
    for state in ("submitted", "security_review", "approved_dev"):
        running.ask("POST", "/registry/v1/servers/board/move", {"to": state, "reason": "test"})
    running.ask("POST", "/auth/v1/agents", {"name": "host"})
    running.ask("PUT", "/policy/v1/permissions/host", {"permissions": ["board:use"]})
    return str(running.ask("POST", "/auth/v1/keys", {"agent": "host"})["key"])


@pytest.mark.slow
async def test_apps_and_what_nobody_here_knows_pass_untouched(tmp_path: Path) -> None:
    app = Starlette(routes=[Route("/mcp", answer, methods=["POST"])])
    with suite(tmp_path / "data") as running:
        async with serving(app) as base, aiohttp.ClientSession() as session:
            key = await asyncio.to_thread(register, running, f"{base}/mcp")

            async def ask(method: str, named: str | None = None, **params: Any) -> Any:
                given = {**headers(key, method)} | ({"Mcp-Name": named} if named else {})
                asked = {**params, "_meta": META}
                body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": asked}
                url = f"{running.url}/servers/board/mcp"
                async with session.post(url, data=json.dumps(body), headers=given) as said:
                    return (await said.json())["result"]

            (tool,) = (await ask("tools/list"))["tools"]
            (view,) = (await ask("resources/list"))["resources"]
            read = await ask("resources/read", view["uri"], uri=view["uri"])
            called = await ask("tools/call", "show_board", name="show_board", arguments={})
    assert (tool, view) == (TOOL, VIEW)
    assert read["contents"] == [PAGE]
    ours = {
        name: called["_meta"].pop(name) for name in list(called["_meta"]) if "interlock" in name
    }
    assert ours
    assert called == {**RESULT, "resultType": "complete"}
