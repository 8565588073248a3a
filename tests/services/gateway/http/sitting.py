"""A client of 2025-11-25 with a session, as plain HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2

from services.gateway.settings import Settings
from tests.services.gateway.build import Gateway
from tests.services.gateway.http.raw import ACCEPT, frames

STICKY = Settings(sticky_sessions=True)
OLDER = ACCEPT | {"MCP-Protocol-Version": "2025-11-25", "Content-Type": "application/json"}
DECLARED: dict[str, Any] = {"elicitation": {}, "sampling": {}, "roots": {}}
IN_TIME = 20.0
"""Seconds."""


def request(method: str, request_id: Any = 1, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}


def handshake(**capabilities: Any) -> dict[str, Any]:
    info = {"name": "test", "version": "1"}
    given = {"protocolVersion": "2025-11-25", "capabilities": capabilities, "clientInfo": info}
    return request("initialize", **given)


def older_call(query: str = "acme", request_id: Any = 7) -> dict[str, Any]:
    return request("tools/call", request_id, name="crm__search", arguments={"query": query})


@dataclass
class Call:
    """One call's stream."""

    response: httpx2.Response
    told: AsyncIterator[tuple[str, Any]] = field(init=False)

    def __post_init__(self) -> None:
        self.told = frames(self.response)

    async def next(self) -> Any:
        """The next message."""
        async with asyncio.timeout(IN_TIME):
            while (message := (await anext(self.told))[1]) is None:
                pass
        return message


@dataclass
class Sitting:
    """One session's client; `http` may be changed for another replica's."""

    http: httpx2.AsyncClient
    path: str
    id: str

    @property
    def headers(self) -> dict[str, str]:
        return OLDER | {"Mcp-Session-Id": self.id}

    async def post(self, body: Any) -> httpx2.Response:
        return await self.http.post(self.path, content=json.dumps(body), headers=self.headers)

    async def answer(self, request_id: Any, **said: Any) -> httpx2.Response:
        """To a question: `result` or `error`."""
        return await self.post({"jsonrpc": "2.0", "id": request_id, **said})

    @asynccontextmanager
    async def call(self, body: Any = None) -> AsyncIterator[Call]:
        content = json.dumps(body or older_call())
        async with self.http.stream(
            "POST", self.path, content=content, headers=self.headers
        ) as response:
            yield Call(response)

    @asynccontextmanager
    async def stream(self) -> AsyncIterator[Call]:
        """The session's own."""
        async with self.http.stream("GET", self.path, headers=self.headers) as response:
            assert response.status_code == 200
            yield Call(response)


@asynccontextmanager
async def sitting(
    gateway: Gateway, who: str = "copilot", path: str = "/mcp", **capabilities: Any
) -> AsyncIterator[Sitting]:
    """A client that has shaken hands; it declares all that it can be asked, or what is given."""
    async with gateway.client(who) as http:
        body = json.dumps(handshake(**(capabilities or DECLARED)))
        told = await http.post(path, content=body, headers=OLDER)
        assert told.status_code == 200, told.text
        made = Sitting(http, path, told.headers["mcp-session-id"])
        begun = {"jsonrpc": "2.0", "method": "notifications/initialized"}
        assert (await made.post(begun)).status_code == 202
        yield made
