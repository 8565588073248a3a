"""One door before separate processes: routes by the first segment of the path, streams both ways.
Requests for one service go to its processes in turn.

It stands in for the load balancer that a production set-up has. It verifies nothing and keeps
nothing: each service's own door does that.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from itertools import count

import aiohttp
from starlette.types import Receive, Scope, Send
from yarl import URL

HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Header fields of one connection, never passed on (RFC 9110 §7.6.1)."""
BODY_SAYS = frozenset({b"content-length", b"transfer-encoding"})
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that may be repeated blindly (RFC 9110 §9.2.1)."""
AWAY = (
    b'{"type":"about:blank","title":"Service Unavailable","status":503,"code":"unavailable",'
    b'"detail":"no process of this service takes requests; nothing was done, come back later"}'
)
LOST = (
    b'{"type":"about:blank","title":"Bad Gateway","status":502,"code":"perhaps_accepted",'
    b'"detail":"the service went away before it answered; it may have taken the request on"}'
)


class Edge:
    """An ASGI application that passes requests on to where each service listens at the moment.

    `places` has every service, each with the origins (`http://policy:8080`) of those of its
    processes that take requests.
    """

    def __init__(self, places: Callable[[], Mapping[str, Sequence[str]]], root: str) -> None:
        self._places = places
        self._root = root
        self._turn = count()
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Must run on the loop that serves."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=5),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def close(self) -> None:
        """Close what is pooled."""
        if self._session is not None:
            await self._session.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sent: asyncio.Queue[bytes | None] = asyncio.Queue(maxsize=8)
        passing = asyncio.ensure_future(self._pass(scope, sent, send))
        reading = asyncio.ensure_future(_read(receive, sent))
        await asyncio.wait({passing, reading}, return_when=asyncio.FIRST_COMPLETED)
        for task in (passing, reading):
            task.cancel()
        with suppress(asyncio.CancelledError):
            await passing

    def _in_turn(self, path: str) -> list[str]:
        """Where to try, in this order."""
        segment, places = path.split("/", 2)[1], self._places()
        found = places.get(segment if segment in places else self._root, ())
        at = next(self._turn) % len(found) if found else 0
        return [*found[at:], *found[:at]]

    async def _pass(self, scope: Scope, sent: "asyncio.Queue[bytes | None]", send: Send) -> None:
        """One that nobody listens at got nothing: then the next one is asked."""
        for place in self._in_turn(scope["path"]):
            with suppress(aiohttp.ClientConnectorError):
                return await self._pass_to(place, scope, sent, send)
        return await _away(send)

    async def _pass_to(
        self, place: str, scope: Scope, sent: "asyncio.Queue[bytes | None]", send: Send
    ) -> None:
        assert self._session is not None
        headers = [
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in scope["headers"]
            if name.decode("latin-1").lower() not in HOP
        ]
        path = scope["raw_path"].decode("latin-1")
        query = scope["query_string"].decode("latin-1")
        url = f"{place}{path}" + (f"?{query}" if query else "")
        has_body = any(name in BODY_SAYS for name, _ in scope["headers"])
        started = False
        try:
            async with self._session.request(
                scope["method"],
                URL(url, encoded=True),
                headers=headers,
                data=_body(sent) if has_body else None,
                allow_redirects=False,
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            ) as answer:
                started = True
                await _answer(answer, send)
        except aiohttp.ClientConnectorError:
            raise
        except aiohttp.ClientConnectionError:
            if not started:
                await (_away if scope["method"] in SAFE else _lost)(send)


async def _answer(answer: aiohttp.ClientResponse, send: Send) -> None:
    kept = [(n, v) for n, v in answer.raw_headers if n.decode("latin-1").lower() not in HOP]
    await send({"type": "http.response.start", "status": answer.status, "headers": kept})
    async for chunk in answer.content.iter_any():
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _read(receive: Receive, sent: "asyncio.Queue[bytes | None]") -> None:
    """Queue the request's body; ends when the client has gone, which ends the request."""
    while (message := await receive())["type"] != "http.disconnect":
        if message.get("body"):
            await sent.put(message["body"])
        if not message.get("more_body"):
            await sent.put(None)


async def _body(sent: "asyncio.Queue[bytes | None]") -> AsyncIterator[bytes]:
    while (chunk := await sent.get()) is not None:
        yield chunk


async def _away(send: Send) -> None:
    """Nothing was done."""
    await _problem(send, 503, AWAY, (b"retry-after", b"1"))


async def _lost(send: Send) -> None:
    """Something may have been done, so nobody is told to come back."""
    await _problem(send, 502, LOST)


async def _problem(send: Send, status: int, body: bytes, *more: tuple[bytes, bytes]) -> None:
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(body)).encode()),
        *more,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
