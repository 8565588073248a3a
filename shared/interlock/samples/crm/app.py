"""The CRM's HTTP side: `/mcp`, and `/control/…` for those who test against it."""

import json
from typing import Any

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from interlock.samples.crm.book import Book
from interlock.samples.crm.tools import crm_server
from interlock.samples.crm.trouble import Failure, How, Trouble

MODERN = b"2026-07-28"


def crm_app(
    book: Book | None = None,
    trouble: Trouble | None = None,
    *,
    handshake_only: bool = False,
    host: str = "127.0.0.1",
) -> ASGIApp:
    """The CRM, at `/mcp`; `handshake_only` makes it a server of before MCP 2026-07-28.

    `host`: where it listens. On loopback it answers to no other name (DNS rebinding).
    """
    trouble = trouble or Trouble()
    server = crm_server(book or Book(), trouble)
    app = server.streamable_http_app(host=host)
    app.routes.extend(_control(trouble))
    return Door(app, trouble, handshake_only)


class Door:
    """Plays the failures that show on the wire, before and after the server proper."""

    def __init__(self, app: ASGIApp, trouble: Trouble, handshake_only: bool) -> None:
        self._app = app
        self._trouble = trouble
        self._handshake_only = handshake_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/mcp":
            await self._app(scope, receive, send)
        elif self._handshake_only and (b"mcp-protocol-version", MODERN) in scope["headers"]:
            await _too_new()(scope, receive, send)
        elif self._trouble.armed and scope["method"] == "POST":
            await self._troubled(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _troubled(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await Request(scope, receive).body()
        tool = _tool(body)
        failure = self._trouble.next_at_door(tool) if tool is not None else None
        if failure is None:
            await self._app(scope, _again(body, receive), send)
        elif failure.how is How.STATUS:
            after = failure.retry_after
            headers = {} if after is None else {"Retry-After": str(after)}
            await Response(status_code=failure.status, headers=headers)(scope, receive, send)
        else:
            if failure.how is How.DROP_AFTER:
                await self._app(scope, _again(body, receive), _swallow)
            await _drop(send)


async def _drop(send: Send) -> None:
    """Promise a byte and never send it: the server then closes the connection."""
    headers = [(b"content-type", b"application/json"), (b"content-length", b"1")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})


async def _swallow(message: Message) -> None:
    """What was answered is lost."""


def _again(body: bytes, receive: Receive) -> Receive:
    """The request's body once more, then whatever follows."""
    given = False

    async def once() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return once


def _tool(body: bytes) -> str | None:
    """The tool that is called, if this is a call."""
    try:
        message: Any = json.loads(body)
    except ValueError:
        return None
    if not isinstance(message, dict) or message.get("method") != "tools/call":
        return None
    name = message.get("params", {}).get("name")
    return name if isinstance(name, str) else None


def _too_new() -> JSONResponse:
    """As servers of 2025 answer a version that they do not know."""
    error = {"code": -32600, "message": "Bad Request: Unsupported protocol version: 2026-07-28"}
    return JSONResponse({"jsonrpc": "2.0", "id": "server-error", "error": error}, 400)


def _control(trouble: Trouble) -> list[Route]:
    async def calls(request: Request) -> Response:
        return JSONResponse(trouble.log().model_dump(mode="json"))

    async def played(request: Request) -> Response:
        return JSONResponse(trouble.played())

    async def arm(request: Request) -> Response:
        try:
            trouble.arm(Failure.model_validate_json(await request.body()))
        except ValidationError as error:
            return JSONResponse({"detail": error.errors(include_url=False)}, 422)
        return Response(status_code=204)

    async def release(request: Request) -> Response:
        trouble.release()
        return Response(status_code=204)

    async def reset(request: Request) -> Response:
        trouble.reset()
        return Response(status_code=204)

    return [
        Route("/control/calls", calls, methods=["GET"]),
        Route("/control/failures", arm, methods=["POST"]),
        Route("/control/failures", played, methods=["GET"]),
        Route("/control/release", release, methods=["POST"]),
        Route("/control/reset", reset, methods=["POST"]),
    ]
