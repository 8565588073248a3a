"""The SDK's session, but for what a server says to its client: that is passed on as it is written.

The SDK's own callbacks are told models, which drop what they do not know, and declare every form of
a capability or none. So three of its private methods are overridden here; `tests/…/test_asking.py`
notices should they change.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from mcp.client import ClientSession
from mcp.client.session import MessageHandlerFnT
from mcp.shared.dispatcher import DispatchContext
from mcp.shared.exceptions import MCPError
from mcp.shared.transport_context import TransportContext
from mcp.types import (
    INVALID_REQUEST,
    UNSUPPORTED_PROTOCOL_VERSION,
    ClientCapabilities,
    Implementation,
)
from pydantic import ValidationError

from services.invocation.clients.port import AskRefused, OnAsk, OnLog
from services.invocation.clients.process import Streams
from services.invocation.clients.text import compact
from services.invocation.decide.asking import NEEDS


class Conversing(ClientSession):
    """Declares exactly `capabilities`. While `on_ask` or `on_log` is set, a call is under way that
    the server's requests and log messages belong to."""

    def __init__(
        self, streams: Streams, capabilities: Mapping[str, Any], told: MessageHandlerFnT
    ) -> None:
        info = Implementation(name="interlock", version="1")
        super().__init__(*streams, client_info=info, message_handler=told)
        self._declared = ClientCapabilities.model_validate(capabilities)
        self.on_ask: OnAsk | None = None
        self.on_log: OnLog | None = None

    def _build_capabilities(self, version: str) -> ClientCapabilities:
        return self._declared

    async def _on_request(
        self,
        dctx: DispatchContext[TransportContext],
        method: str,
        params: Mapping[str, Any] | None,
    ) -> dict[str, Any]:
        if method not in NEEDS:
            return await super()._on_request(dctx, method, params)
        if self.on_ask is None:
            raise MCPError(code=INVALID_REQUEST, message=f"`{method}` is not supported")
        try:
            return await self.on_ask(method, dict(params or {}))
        except AskRefused as error:
            raise MCPError(code=INVALID_REQUEST, message=error.detail) from None

    async def _on_notify(
        self,
        dctx: DispatchContext[TransportContext],
        method: str,
        params: Mapping[str, Any] | None,
    ) -> None:
        if method == "notifications/message" and self.on_log is not None and params is not None:
            await self.on_log(params.get("level"), compact(dict(params)))
        await super()._on_notify(dctx, method, params)


async def greet(client: ClientSession, *, handshake: bool) -> None:
    """Agree on a protocol: the newest, unless only the handshake was asked for or is known there.

    A process that starts so slowly that it is taken for an older one serves the newest by then.
    """
    if not handshake:
        with suppress(MCPError, RuntimeError, ValidationError):
            await client.discover()
    if client.protocol_version is None:
        try:
            await client.initialize()
        except MCPError as error:
            if handshake or error.code != UNSUPPORTED_PROTOCOL_VERSION:
                raise
            await client.discover()
