"""The official suite sends no token: this door before the gateway adds an agent's.

Everything else passes unchanged, both ways: headers, streams, and a client that hangs up. What was
answered with an error is remembered.
"""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple

import aiohttp
from aiohttp import web

HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length"})
"""Headers about one connection (RFC 9110 §7.6.1), and the length that follows from the body."""


class Error(NamedTuple):
    """One request's answer that was no result."""

    status: int
    message: str
    """JSON-RPC's; of any other the body."""


@asynccontextmanager
async def bearing(key: str, target: str, port: int, errors: list[Error]) -> AsyncIterator[str]:
    """The URL at which `target` may be called without a token; `errors` gets what it refuses."""
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as http:

        async def forward(request: web.Request) -> web.StreamResponse:
            headers = {k: v for k, v in request.headers.items() if k.lower() not in HOP}
            headers["Authorization"] = f"Bearer {key}"
            body = await request.read()
            async with http.request(request.method, target, data=body, headers=headers) as answer:
                return await _told(request, answer, errors)

        application = web.Application()
        application.router.add_route("*", "/mcp", forward)
        runner = web.AppRunner(application, handler_cancellation=True, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", port).start()
            yield f"http://127.0.0.1:{port}/mcp"
        finally:
            await runner.cleanup()


async def _told(
    request: web.Request, answer: aiohttp.ClientResponse, errors: list[Error]
) -> web.StreamResponse:
    kept = {k: v for k, v in answer.headers.items() if k.lower() not in HOP}
    told, said = web.StreamResponse(status=answer.status, headers=kept), b""
    await told.prepare(request)
    try:
        with suppress(ConnectionError):  # the client has what it wanted
            async for chunk in answer.content.iter_any():
                said += chunk
                await told.write(chunk)
            await told.write_eof()
    finally:
        errors.extend(_errors(answer.status, said.decode("utf-8", "replace")))
    return told


def _errors(status: int, said: str) -> Iterator[Error]:
    """The error that an answer is, be it JSON or the end of a stream; nothing of any other."""
    lines = [line[6:] for line in said.splitlines() if line.startswith("data: {")] or [said]
    told: Any = None
    with suppress(ValueError):
        told = json.loads(lines[-1])
    if isinstance(told, dict) and "error" in told:
        yield Error(status, told["error"]["message"])
    elif status >= 400:
        yield Error(status, said)
