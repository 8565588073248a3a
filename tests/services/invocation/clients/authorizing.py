"""An upstream that wants OAuth, with its authorization server, on one origin of loopback."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from aiohttp import web

from services.invocation.clients import (
    LOOPBACK,
    AddressGuard,
    Authorized,
    Connection,
    Secrets,
    UpstreamCall,
    Upstreams,
)
from services.invocation.clients.dial import open_pool
from services.invocation.clients.oauth import Asked, Driver, Keeper, Logins
from tests.components.ports import lasting_port
from tests.services.invocation.clients.talking import DISCOVERED, to

CALLBACK = "http://127.0.0.1:8765/callback"
SECRET = "s3cret-of-the-client"


@dataclass
class Office:
    """Lets in who has a token that it gave and did not take back. Refresh tokens are good once."""

    origin: str = ""
    issuer: str | None = None
    """What it says that it is, if not its origin."""
    served: list[str] = field(default_factory=list)
    """Methods that were executed."""
    asked: list[str] = field(default_factory=list)
    """Grant types that the token endpoint was asked with."""
    scopes: dict[str, str] = field(default_factory=dict)
    """Of tokens that are good."""
    refreshing: set[str] = field(default_factory=set)
    lives: int | None = 3600
    needs: dict[str, str] = field(default_factory=dict)
    """Scope by method, beyond `basic`."""
    broken: int = 0
    """Times that the token endpoint answers 503."""
    answer: bytes | None = None
    """Of the token endpoint, whatever it is asked."""
    token_at: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    given_back: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    """With which `Authorization`, and what."""
    takes_back: int = 200
    """HTTP status."""
    secrets: set[str] = field(default_factory=set)
    """All that nobody else may see."""
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    """The token endpoint was asked."""
    waits: asyncio.Event = field(default_factory=asyncio.Event)
    """Set: it answers."""
    _made: int = 0

    def revoke(self) -> None:
        """No access token is good any more."""
        self.scopes.clear()

    def _mint(self, kind: str) -> str:
        self._made += 1
        made = f"{kind}-{self._made}-very-secret"
        self.secrets.add(made)
        return made

    async def mcp(self, request: web.Request) -> web.Response:
        message = await request.json()
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in self.scopes:
            return self._refused(401, "basic")
        wanted = self.needs.get(message["method"], "basic")
        if wanted not in self.scopes[token].split():
            return self._refused(403, wanted)
        self.served.append(message["method"])
        results: dict[str, Any] = {
            "server/discover": DISCOVERED,
            "tools/list": {"tools": [{"name": "search", "inputSchema": {"type": "object"}}]},
        }
        result = results.get(message["method"], {"content": [{"type": "text", "text": "done"}]})
        told = {"resultType": "complete", **result}
        return web.json_response({"jsonrpc": "2.0", "id": message["id"], "result": told})

    def _refused(self, status: int, scope: str) -> web.Response:
        where = f"{self.origin}/.well-known/oauth-protected-resource/mcp"
        told = f'Bearer resource_metadata="{where}", scope="{scope}"'
        if status == 403:
            told += ', error="insufficient_scope"'
        return web.Response(status=status, headers={"WWW-Authenticate": told})

    async def resource(self, request: web.Request) -> web.Response:
        return web.json_response(
            {"resource": f"{self.origin}/mcp", "authorization_servers": [self.origin]}
        )

    async def server(self, request: web.Request) -> web.Response:
        return web.json_response(
            {
                "issuer": self.issuer or self.origin,
                "authorization_endpoint": f"{self.origin}/authorize",
                "token_endpoint": self.token_at or f"{self.origin}/token",
                "registration_endpoint": f"{self.origin}/register",
                "code_challenge_methods_supported": ["S256"],
                "authorization_response_iss_parameter_supported": True,
                **self.metadata,
            }
        )

    async def register(self, request: web.Request) -> web.Response:
        asked = await request.json()
        return web.json_response({**asked, "client_id": "dynamic"}, status=201)

    async def take_back(self, request: web.Request) -> web.Response:
        """RFC 7009: who they are, and what they give back."""
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.given_back.append((request.headers.get("Authorization", ""), form))
        self.scopes.pop(form["token"], None)
        self.refreshing.discard(form["token"])
        return web.Response(status=self.takes_back)

    async def token(self, request: web.Request) -> web.Response:
        form = dict(await request.post())
        grant = str(form["grant_type"])
        self.asked.append(grant)
        self.reached.set()
        await self.waits.wait()
        if self.broken:
            self.broken -= 1
            return web.Response(status=503)
        if self.answer is not None:
            return web.Response(body=self.answer, content_type="application/json")
        scope = str(form.get("scope", "basic"))
        if grant == "refresh_token":
            if form["refresh_token"] not in self.refreshing:
                return web.json_response({"error": "invalid_grant"}, status=400)
            self.refreshing.discard(str(form["refresh_token"]))
        elif grant == "authorization_code":
            scope = str(form["code"]).partition("~")[2].replace("+", " ")
        token = self._mint("access")
        self.scopes[token] = scope
        given = {"access_token": token, "token_type": "Bearer", "scope": scope}
        if self.lives is not None:
            given["expires_in"] = str(self.lives)
        if grant != "client_credentials":
            given["refresh_token"] = self._mint("refresh")
            self.refreshing.add(given["refresh_token"])
        return web.json_response(given)

    def consent(self, url: str, **changed: str) -> str:
        """What a person's browser comes back with."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        code = self._mint("code") + "~" + asked.get("scope", "basic").replace(" ", "+")
        back = {"code": code, "state": asked["state"], "iss": self.origin} | changed
        pairs = "&".join(f"{name}={value}".replace("+", "%2B") for name, value in back.items())
        return f"{asked['redirect_uri']}?{pairs}"


@asynccontextmanager
async def office(**said: Any) -> AsyncIterator[Office]:
    """It works until left."""
    port = lasting_port()
    one = Office(origin=f"http://127.0.0.1:{port}", **said)
    one.waits.set()
    app = web.Application()
    app.router.add_post("/mcp", one.mcp)
    app.router.add_get("/.well-known/oauth-protected-resource/mcp", one.resource)
    app.router.add_get("/.well-known/oauth-authorization-server", one.server)
    app.router.add_post("/register", one.register)
    app.router.add_post("/token", one.token)
    app.router.add_post("/revoke", one.take_back)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield one
    finally:
        await runner.cleanup()


@dataclass
class Replica:
    """One process of invocation, as far as upstreams are concerned."""

    upstream: Authorized
    logins: Logins

    async def log_in(self, office: Office, asked: Asked | None = None) -> None:
        """With a person's consent."""
        connection = to_office(office)
        asked = asked or Asked(redirect_uri=CALLBACK)
        url = await self.logins.begin(connection, asked, 0.0)
        assert url is not None
        await self.logins.answer(connection, office.consent(url), 1.0)

    async def call(self, office: Office) -> str:
        """The result of a call that may not be repeated."""
        answer = await self.upstream.call(UpstreamCall(to_office(office), "search", "{}", 10.0))
        text: str = json.loads(answer.result)["content"][0]["text"]
        return text


def to_office(office: Office) -> Connection:
    return to(f"{office.origin}/mcp")


@asynccontextmanager
async def replica(
    secrets: Secrets, now: Callable[[], float] = lambda: 0.0, guard: AddressGuard | None = None
) -> AsyncIterator[Replica]:
    """A process that shares `secrets` with others."""
    allowed = guard or AddressGuard(LOOPBACK)
    plain = Upstreams(guard=allowed)
    async with open_pool(allowed) as http:
        driver = Driver(http)
        keeper = Keeper(secrets, driver, now)
        try:
            yield Replica(Authorized(plain, keeper), Logins(plain, keeper, driver, None))
        finally:
            await plain.close()
