"""MCP over streamable HTTP: everything before the protocol itself.

Who calls, how large the request is, which tools it looks at, and whether the token's scopes reach
are answered in HTTP (MCP 2026-07-28, "Authorization"); then `lean` or the SDK has the word.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from interlock.errors import InterlockError, Refused
from interlock.identity.asgi import authenticate, challenged
from interlock.identity.tokens import Caller, Tokens
from services.gateway.decide.reached import Reached
from services.gateway.decide.text import cut
from services.gateway.handlers.calls import Calls, Wanted
from services.gateway.handlers.refusals import Refusals
from services.gateway.handlers.tasks import Tasks
from services.gateway.handlers.visible import split
from services.gateway.http.answers import jsonrpc_error, refused, unavailable
from services.gateway.http.body import Bodies, parse_request
from services.gateway.http.codes import INVALID_PARAMS, INVALID_REQUEST
from services.gateway.http.exchange import CALL, EXCHANGE, MODERN, VERSION, Exchange
from services.gateway.http.features import METHODS, FeatureReader
from services.gateway.http.means import means_of, wrong_level
from services.gateway.http.outlet import Outlet
from services.gateway.http.sticky import SESSION_ID, StickyDoor, told_session
from services.gateway.model import Feature, Front, Offer

HEADER_MISMATCH = -32020
CANCELLED = "notifications/cancelled"


class Fast(Protocol):
    """Serves what it can; says whether it did."""

    async def __call__(
        self, exchange: Exchange, request: Request, receive: Receive, send: Send
    ) -> bool: ...


class McpDoor:
    """MCP, 2026-07-28 and 2025-11-25: POST JSON-RPC messages here."""

    def __init__(  # noqa: PLR0913 the door's composition
        self,
        tasks: Tasks,
        tokens: Tokens,
        refusals: Refusals,
        protocol: ASGIApp,
        lean: Fast,
        *,
        calls: Calls,
        features: FeatureReader,
        bodies: Bodies,
        reached: Reached,
        slow_reader: float,
        sticky: StickyDoor | None = None,
        scopes: tuple[str, ...] = (),
    ) -> None:
        """`slow_reader`: seconds after which a client that takes nothing is dropped. `sticky`:
        where clients of the handshake era have sessions. `scopes`: what a client without a good
        token is told to ask for."""
        self._tasks = tasks
        self._tokens = tokens
        self._refusals = refusals
        self._protocol = protocol
        self._lean = lean
        self._calls = calls
        self._slow_reader = slow_reader
        self._features = features
        self._bodies = bodies
        self._reached = reached
        self._scopes = scopes
        self._sticky = sticky

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        front = Front(scope["path_params"].get("name"), scope["path_params"].get("toolset"))
        resource = self._tasks.url + front.path
        try:
            body = await self._admit(request, resource, front)
            exchange = await self._exchange(request, resource, front, body)
            held = self._bodies.held(body)
        except Refused as error:
            self._refusals.note(error, scope["state"].get("caller"), front.server)
            await refused(error)(scope, receive, send)
            return
        except InterlockError as error:
            await refused(error)(scope, receive, send)
            return
        with held:
            if isinstance(exchange, Response):
                await exchange(scope, receive, send)
                return
            scope["state"][EXCHANGE] = exchange
            await self._serve(exchange, body, request, send)

    async def _serve(self, exchange: Exchange, body: bytes, request: Request, send: Send) -> None:
        reply, receive = exchange.reply, request.receive
        outlet = Outlet(reply, self._calls.leases, receive, send, self._slow_reader)
        try:
            if not await self._lean(exchange, request, receive, outlet.send):
                watched = self._watched(exchange, outlet.send)
                await self._protocol(request.scope, _again(body, receive), watched)
        except* TimeoutError:
            if not reply.ended_by_us:
                raise
        finally:
            self._calls.over(reply)
            self._note(exchange)

    def _note(self, exchange: Exchange) -> None:
        """Whoever was turned away is in the ledger, once."""
        error, wanted = exchange.reply.refused, exchange.wanted
        if error is None:
            return
        server, tool = exchange.server, exchange.named
        if wanted is not None:
            server, tool = wanted.offer.server.name, wanted.offer.tool.name
        self._refusals.note(error, exchange.caller, server, tool)

    def _watched(self, exchange: Exchange, send: Send) -> Send:
        """`send` that notes what the protocol refuses: no JSON-RPC, wrong headers, …"""
        send = told_session(exchange, send)

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] >= 400:
                status = message["status"]
                why = f"the protocol refused the message with `{status}`"
                exchange.reply.refuse(Refused(why, code="protocol"))
            await send(unavailable(message, exchange.reply.error))

        return watched

    async def _admit(self, request: Request, resource: str, front: Front) -> bytes:
        """Authentication before anything else is read; before it, whether we are meant at all."""
        request.scope.setdefault("state", {})
        self._reached.require_host(request.headers.getlist("host"))
        caller = await authenticate(request, self._tokens, resource=resource, scopes=self._scopes)
        self._reached.require_origin(request.headers.get("origin"))
        tenant = caller.principal.tenant
        if front.server is not None:
            await self._tasks.visible.server(tenant, front.server)
        if front.toolset is not None:
            await self._tasks.visible.toolset(tenant, front.toolset)
        if request.method != "POST":
            return b""
        return await self._bodies.read(request)

    async def _exchange(
        self, request: Request, resource: str, front: Front, body: bytes
    ) -> Exchange | Response:
        """The request read strictly; what is no JSON object is the protocol's to refuse."""
        caller: Caller = request.state.caller
        if request.method != "POST":
            return await self._without_body(request, caller, front)
        try:
            message, text = parse_request(body)
        except Refused as error:
            loose = _loose(body)
            if not isinstance(loose, dict):
                return Exchange(caller, front, {})
            self._refusals.note(error, caller, front.server)
            return jsonrpc_error(loose.get("id"), INVALID_REQUEST, error.detail)
        wrong, code = wrong_level(message), INVALID_PARAMS
        if not _says_its_version(message, request.headers.get("mcp-protocol-version")):
            wrong, code = "`MCP-Protocol-Version` is not the message's", HEADER_MISMATCH
        if wrong is not None:
            self._refusals.note(Refused(wrong, code="protocol"), caller, front.server)
            return jsonrpc_error(message.get("id"), code, wrong)
        entered = await self._entered(Exchange(caller, front, message, text), request)
        if isinstance(entered, Response):
            return entered
        return await self._read(entered, request, resource)

    async def _entered(self, exchange: Exchange, request: Request) -> Exchange | Response:
        """In its session, where it can be in one."""
        if self._sticky is None or not _older(request):
            return exchange
        return await self._sticky.enter(exchange, request.headers.get(SESSION_ID))

    async def _without_body(self, request: Request, caller: Caller, front: Front) -> Response:
        if self._sticky is None:  # no session, so no stream to get and nothing to delete
            return Response(status_code=405, headers={"Allow": "POST"})
        return await self._sticky.without_body(request, caller, front)

    async def _read(self, exchange: Exchange, request: Request, resource: str) -> Exchange:
        """With what is wanted; 403 and 503 are answered before the protocol begins."""
        params, caller, text = exchange.message.get("params"), exchange.caller, exchange.text
        method = exchange.message.get("method")
        if method == CANCELLED and isinstance(params, dict) and _older(request):
            await self._cancel(exchange, params)
        if not isinstance(params, dict) or method not in (CALL, *METHODS):
            return exchange
        trace = _traceparent(params) or request.headers.get("traceparent")
        if method != CALL:
            return await self._feature(exchange, resource, trace)
        name, arguments = params.get("name"), params.get("arguments")
        if not isinstance(name, str) or not isinstance(arguments, dict | None):
            return exchange
        try:
            offer = await self._offer(exchange, name)
        except Refused as error:
            exchange.reply.refuse(error)
            return replace(exchange, refusal=error.detail)
        self._require_scopes(caller, offer, resource)
        await self._tasks.bus.check()
        exact = "{}" if arguments is None else cut(text, "params", "arguments") or "{}"
        means = means_of(params, text, exchange.front, exchange.session)
        return replace(exchange, wanted=Wanted(offer, arguments or {}, exact, trace, means))

    async def _cancel(self, exchange: Exchange, params: Mapping[str, Any]) -> None:
        """MCP 2025-11-25, "Cancellation". Since then a client closes its stream instead."""
        request, why = params.get("requestId"), params.get("reason")
        if isinstance(request, str | int) and not isinstance(request, bool):
            said = why if isinstance(why, str) else ""
            key = exchange.request_key(request)
            await self._calls.requests.cancel(exchange.caller, key, said)

    async def _offer(self, exchange: Exchange, name: str) -> Offer:
        """The tool of that name; `Refused` (`not_found`) where the route does not have it."""
        front, visible = exchange.front, self._tasks.visible
        tenant = exchange.caller.principal.tenant
        where = (front.server, name) if front.server is not None else split(name)
        if front.toolset is not None:
            toolset = await visible.toolset(tenant, front.toolset)
            if not toolset.has(*where):
                told = f"toolset `{toolset.name}` does not have tool `{name[:200]}`"
                raise Refused(told, code="not_found")
        return await visible.find(tenant, *where)

    async def _feature(self, exchange: Exchange, resource: str, trace: str | None) -> Exchange:
        """With what a read, a prompt or a completion wants."""
        read = await self._features.read(exchange, trace)
        if read.feature is None:
            exchange.reply.refuse(Refused(read.refusal, code="not_found"))
            return read
        self._require_scopes(exchange.caller, read.feature.feature, resource)
        await self._tasks.bus.check()
        return read

    def _require_scopes(self, caller: Caller, offer: Offer | Feature, resource: str) -> None:
        try:
            self._tasks.require_scopes(caller, offer)
        except Refused as error:
            raise challenged(error, resource, offer.scopes) from None


def _says_its_version(message: Mapping[str, Any], header: str | None) -> bool:
    """Whether a message that names a protocol says the same in the header by which it is routed.

    Where the header names a modern one the protocol itself compares them.
    """
    params = message.get("params")
    meta = params.get("_meta") if isinstance(params, dict) else None
    said = meta.get(VERSION) if isinstance(meta, dict) else None
    return said is None or said == header or (header or "") >= MODERN


def _older(request: Request) -> bool:
    return request.headers.get("mcp-protocol-version", "") < MODERN


def _traceparent(params: Mapping[str, Any]) -> str | None:
    """The caller's trace (MCP 2026-07-28, "Trace context")."""
    meta = params.get("_meta")
    found = meta.get("traceparent") if isinstance(meta, dict) else None
    return found if isinstance(found, str) else None


def _loose(body: bytes) -> object:
    """What the text means to a reader that overlooks what we do not; None if it is no JSON."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _again(body: bytes, receive: Receive) -> Receive:
    """`receive` as if the body had not been read."""
    read = False

    async def receive_again() -> Message:
        nonlocal read
        if read:
            return await receive()
        read = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again
