"""The official suite sends no token: this door before the gateway adds an agent's.

Everything else passes unchanged, both ways: headers, streams, and a client that hangs up.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import aiohttp
from aiohttp import web

HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length"})
"""Headers about one connection (RFC 9110 §7.6.1), and the length that follows from the body."""


@asynccontextmanager
async def bearing(key: str, target: str, port: int) -> AsyncIterator[str]:
    """The URL at which `target` may be called without a token."""
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as http:

        async def forward(request: web.Request) -> web.StreamResponse:
            headers = {k: v for k, v in request.headers.items() if k.lower() not in HOP}
            headers["Authorization"] = f"Bearer {key}"
            body = await request.read()
            async with http.request(request.method, target, data=body, headers=headers) as answer:
                kept = {k: v for k, v in answer.headers.items() if k.lower() not in HOP}
                told = web.StreamResponse(status=answer.status, headers=kept)
                await told.prepare(request)
                with suppress(ConnectionError):  # the client has what it wanted
                    async for chunk in answer.content.iter_any():
                        await told.write(chunk)
                    await told.write_eof()
                return told

        application = web.Application()
        application.router.add_route("*", "/mcp", forward)
        runner = web.AppRunner(application, handler_cancellation=True, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", port).start()
            yield f"http://127.0.0.1:{port}/mcp"
        finally:
            await runner.cleanup()
