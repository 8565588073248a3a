"""Sessions at the door (MCP 2025-11-25, "Session Management"): in which one a request is."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Send

from interlock.errors import Refused
from interlock.identity.tokens import Caller
from services.gateway.decide.text import cut
from services.gateway.handlers.refusals import Refusals
from services.gateway.handlers.sessions import Sticky
from services.gateway.http.answers import jsonrpc_error
from services.gateway.http.codes import INVALID_REQUEST
from services.gateway.http.exchange import Exchange
from services.gateway.http.news import Streams
from services.gateway.model import Front

SESSION_ID = "mcp-session-id"
INITIALIZE = "initialize"
LONGEST_ERROR = 1000
"""Characters of a client's own words that its task is told."""
UNFIT = frozenset({"bad_request", "not_found", "conflict", "invalid"})
"""Why an answer is not taken. None of them may be 404: that says that the session is gone."""


@dataclass(frozen=True)
class StickyDoor:
    """Of the sticky profile."""

    sticky: Sticky
    streams: Streams
    refusals: Refusals

    async def enter(self, exchange: Exchange, session_id: str | None) -> Exchange | Response:
        """The request in its session: the one that it names, or the one that it opens.

        Clients need not have one: they are served as without the profile.
        """
        caller, front, message = exchange.caller, exchange.front, exchange.message
        if message.get("method") == INITIALIZE:
            return await self._opened(exchange)
        if session_id is None:
            return exchange
        try:
            session = await self.sticky.find(caller, front, session_id)
        except Refused as error:
            return self._unknown(error, caller, front, message.get("id"))
        exchange = replace(exchange, session=session)
        return await self._answered(exchange) if _is_answer(message) else exchange

    async def _opened(self, exchange: Exchange) -> Exchange:
        """What is no proper handshake is left to the protocol to refuse."""
        params = exchange.message.get("params")
        declared = params.get("capabilities") if isinstance(params, dict) else None
        if not isinstance(declared, dict) or "id" not in exchange.message:
            return exchange
        session = await self.sticky.open(exchange.caller, exchange.front, declared)
        return replace(exchange, session=session)

    async def _answered(self, exchange: Exchange) -> Response:
        """To a question of ours: 202, or why it is not taken, which is recorded."""
        message, caller = exchange.message, exchange.caller
        try:
            await self.sticky.answered(caller, message.get("id"), _answer(message, exchange.text))
        except Refused as error:
            if error.code not in UNFIT:
                raise
            self.refusals.note(error, caller, exchange.server)
            return jsonrpc_error(None, INVALID_REQUEST, error.detail)
        return Response(status_code=HTTPStatus.ACCEPTED)

    async def without_body(self, request: Request, caller: Caller, front: Front) -> Response:
        """GET is the session's stream, DELETE ends the session."""
        if request.method not in ("GET", "DELETE"):
            return Response(status_code=405, headers={"Allow": "GET, POST, DELETE"})
        session_id = request.headers.get(SESSION_ID)
        if session_id is None:
            raise Refused(
                f"a {request.method} is about a session: send the `Mcp-Session-Id` that the answer "
                "to `initialize` came with",
                code="bad_request",
            )
        try:
            session = await self.sticky.find(caller, front, session_id)
        except Refused as error:
            return self._unknown(error, caller, front, None)
        if request.method == "DELETE":
            await self.sticky.close(session)
            return Response(status_code=HTTPStatus.NO_CONTENT)
        if "text/event-stream" not in request.headers.get("accept", ""):
            told = "a session's stream is `text/event-stream`; accept that"
            self.refusals.note(Refused(told, code="protocol"), caller, front.server)
            return jsonrpc_error(None, INVALID_REQUEST, told, HTTPStatus.NOT_ACCEPTABLE)
        return self.streams.of(caller, front, session)

    def _unknown(
        self, error: Refused, caller: Caller, front: Front, request_id: object
    ) -> Response:
        self.refusals.note(error, caller, front.server)
        return jsonrpc_error(request_id, INVALID_REQUEST, error.detail, HTTPStatus.NOT_FOUND)


def told_session(exchange: Exchange, send: Send) -> Send:
    """`send` that tells a client the id of the session that its handshake has opened."""
    session = exchange.session
    if session is None or exchange.message.get("method") != INITIALIZE:
        return send

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == HTTPStatus.OK:
            header = (SESSION_ID.encode(), session.id.encode())
            message = {**message, "headers": [*message.get("headers", ()), header]}
        await send(message)

    return sending


def _is_answer(message: Mapping[str, Any]) -> bool:
    return "method" not in message and ("result" in message or "error" in message)


def _answer(message: Mapping[str, Any], text: str) -> str:
    """The result as its client wrote it; an error in words, which no result is taken for."""
    if isinstance(message.get("result"), dict) and "error" not in message:
        exact = cut(text, "result")
        assert exact is not None, "it was seen in the parsed message"
        return exact
    error = message.get("error")
    if not isinstance(error, dict) or "result" in message:
        raise Refused("an answer has an object as its `result`, or an `error`", code="bad_request")
    code, said = error.get("code"), str(error.get("message"))[:LONGEST_ERROR]
    return json.dumps(f"the client answered with error `{code}`: {said}", ensure_ascii=False)
