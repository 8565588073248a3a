"""A gateway in this process, on twins or on Redis, with a small authority behind it."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any, TypeVar

import httpx2
import uvicorn
from joserfc.jwk import OKPKey
from starlette.applications import Starlette

from interlock.bus import Bus, BusEntry, Effects, Envelope, Group, Keyring, Stamp, on
from interlock.bus.memory import MemoryBus
from interlock.contracts.access import (
    AgentRecord,
    ApiKeyRecord,
    PermissionRecord,
    PolicySetRecord,
)
from interlock.contracts.catalogue import (
    Environment,
    HttpConnection,
    Lifecycle,
    ServerRecord,
    ToolRecord,
)
from interlock.contracts.outcomes import TaskSucceeded
from interlock.contracts.requests import CancelRequested, TaskAuthenticated
from interlock.contracts.task import Principal, PrincipalKind, digest_of
from interlock.identity.statements import Signer, Trust
from interlock.identity.tokens import Tokens
from interlock.runtime.connections import Connection
from interlock.runtime.service import Parts
from interlock.runtime.settings import SuiteSettings
from interlock.state import (
    AGENTS,
    API_KEYS,
    CATALOGUE,
    ISSUERS,
    POLICY,
    REVOCATIONS,
    TOOLSETS,
    USERS,
)
from interlock.state.interest import MemoryInterest, Wish
from interlock.state.memory import MemoryState, MemoryStateReader
from interlock.telemetry.metrics import Metrics
from interlock.telemetry.traces import Traces, open_traces
from interlock.testing.build import KEYRING
from services.gateway.__main__ import parts
from services.gateway.settings import Settings
from services.gateway.store import MemorySessions, MemorySnapshots, RedisSessions, Shared, Snapshots

KINDS = (AGENTS, API_KEYS, CATALOGUE, ISSUERS, POLICY, REVOCATIONS, TOOLSETS, USERS)
T = TypeVar("T")
SCHEMA = {
    "type": "object",
    "properties": {"query": {"type": "string"}, "limit": {"type": "integer", "minimum": 1}},
    "required": ["query"],
}
Judge = Callable[[Envelope[TaskAuthenticated]], Awaitable[Effects]]


def now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 a real clock: deadlines here are in the future


def tool(name: str, *scopes: str, schema: Any = SCHEMA, **more: Any) -> ToolRecord:
    definition = json.dumps({"name": name, "description": f"does {name}", "inputSchema": schema})
    digest = digest_of(definition)
    return ToolRecord(
        name=name, definition=definition, digest=digest, required_scopes=scopes, **more
    )


def server(name: str = "crm", tenant: str = "acme", *tools: ToolRecord) -> ServerRecord:
    return ServerRecord(
        tenant=tenant,
        name=name,
        capability="customers",
        owner_team="sales",
        technical_owner="ana",
        environment=Environment.DEVELOPMENT,
        connection=HttpConnection(url="http://crm.example/mcp"),
        lifecycle=Lifecycle.APPROVED_DEV,
        tools=tools or (tool("search", "crm:read"), tool("export", "crm:export")),
    )


def key_of(name: str) -> str:
    return f"ilk_{name}_secret"


def publish(state: MemoryState) -> None:
    """A tenant with a server and agents, one person, and another tenant's agent."""
    state.publish(CATALOGUE, "acme", "crm", server())
    permissions = (PermissionRecord(agent="copilot", permissions=("crm:read",)),)
    state.publish(
        POLICY, "acme", "set", PolicySetRecord(tenant="acme", version=1, permissions=permissions)
    )
    for agent, tenant in (("copilot", "acme"), ("other", "acme"), ("spy", "evil")):
        state.publish(AGENTS, tenant, agent, AgentRecord(tenant=tenant, name=agent))
        _key(state, Principal(tenant=tenant, kind=PrincipalKind.AGENT, name=agent))
    narrow = Principal(tenant="acme", kind=PrincipalKind.AGENT, name="copilot")
    _key(state, narrow, key_id="narrow", token_scopes=("mail:read",))
    person = Principal(tenant="acme", kind=PrincipalKind.PERSON, name="olga")
    _key(state, person, roles=("operator",))


def _key(state: MemoryState, principal: Principal, key_id: str = "", **more: Any) -> None:
    record = ApiKeyRecord(
        tenant=principal.tenant,
        key_id=key_id or principal.name,
        secret_digest=digest_of("secret"),
        principal=principal,
        **more,
    )
    state.publish(API_KEYS, principal.tenant, record.key_id, record)


@dataclass
class FakeHost:
    """`Host` on twins."""

    suite: SuiteSettings
    bus: Bus
    reader: MemoryStateReader
    redis: Any = None
    bus_entry: BusEntry | None = None
    name: str = "gateway"
    prefix: str = "test:gateway:"
    signer: Signer = field(
        default_factory=lambda: Signer.of("gateway", OKPKey.generate_key("Ed25519"))
    )
    traces: Traces = field(default_factory=open_traces)
    metrics: Metrics = field(default_factory=Metrics)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    now: Callable[[], datetime] = now
    data: Path = Path("unused")

    @property
    def keyring(self) -> Keyring:
        return KEYRING

    @property
    def stamp(self) -> Stamp:
        return Stamp(self.name, KEYRING, self.now)

    @property
    def trust(self) -> Trust:
        return Trust.of(self.signer)

    @property
    def tokens(self) -> Tokens:
        url = self.suite.url
        return Tokens(self.reader, audiences=(url, f"{url}/mcp"), now=self.now)

    def state(self, *kinds: Any) -> MemoryStateReader:
        return self.reader


async def succeed(envelope: Envelope[TaskAuthenticated]) -> Effects:
    """The authority's usual answer: what it was asked, as the tool's result."""
    text = json.dumps({"content": [{"type": "text", "text": envelope.body.arguments}]})
    return [TaskSucceeded(task=envelope.body.task, result=text)]


@dataclass
class Authority:
    """Plays policy and invocation at once: `judge` says what becomes of a task."""

    judge: Judge = succeed
    asked: list[Envelope[TaskAuthenticated]] = field(default_factory=list)
    cancelled: asyncio.Queue[CancelRequested] = field(default_factory=asyncio.Queue)

    async def _authenticated(self, envelope: Envelope[TaskAuthenticated]) -> Effects:
        self.asked.append(envelope)
        return await self.judge(envelope)

    async def _cancel(self, envelope: Envelope[CancelRequested]) -> Effects:
        self.cancelled.put_nowait(envelope.body)
        return ()

    def group(self) -> Group:
        return Group(
            "policy",
            [on(TaskAuthenticated, self._authenticated), on(CancelRequested, self._cancel)],
        )


@dataclass
class Gateway:
    """One running replica."""

    url: str
    host: FakeHost
    parts: Parts
    state: MemoryState
    authority: Authority
    shared: Shared
    store: Snapshots

    @property
    def bus(self) -> MemoryBus:
        assert isinstance(self.host.bus, MemoryBus)
        return self.host.bus

    def client(self, who: str = "copilot", **more: Any) -> httpx2.AsyncClient:
        """An HTTP client with `who`'s API key. There is no TLS here: it need not read, for 50 ms,
        whom the system trusts."""
        headers = {"Authorization": f"Bearer {key_of(who)}"} | more.pop("headers", {})
        url = self.url
        return httpx2.AsyncClient(base_url=url, headers=headers, timeout=20, verify=False, **more)


class Heard(MemoryInterest):
    """Every upstream is heard as soon as somebody wants that."""

    async def renew(self, wishes: Collection[Wish]) -> None:
        await super().renew(wishes)
        await self.hear(self.wishes)


@dataclass
class World:
    """What replicas share."""

    bus: Bus
    state: MemoryState = field(default_factory=MemoryState)
    authority: Authority = field(default_factory=Authority)
    shared: Shared = field(default_factory=Shared)
    store: Callable[[str], Snapshots] | None = None
    sessions: MemorySessions | RedisSessions = field(default_factory=lambda: MemorySessions(1800))
    interest: MemoryInterest = field(default_factory=lambda: Heard(monotonic))

    @asynccontextmanager
    async def gateway(self, settings: Settings | None = None) -> AsyncIterator[Gateway]:
        """A replica behind a real socket."""
        door = socket.create_server(("127.0.0.1", 0))
        port = door.getsockname()[1]
        reader = MemoryStateReader(self.state, KINDS)
        await reader.load()
        host = FakeHost(SuiteSettings(port=port), self.bus, reader)
        store = self.store(str(port)) if self.store else MemorySnapshots(self.shared, str(port))
        async with AsyncExitStack() as stack:
            made = await stack.enter_async_context(
                parts(host, settings or Settings(), store, self.interest, self.sessions)  # type: ignore[arg-type]  # a host as far as a gateway needs it
            )
            config = uvicorn.Config(
                Starlette(routes=list(made.http)),
                http=Connection,
                log_config=None,
                lifespan="off",
                ws="none",
            )
            server = uvicorn.Server(config)
            assert made.group is not None
            work = [reader.run(), self.bus.run(made.group)]
            work += [job() for job in made.background]  # type: ignore[misc]  # awaitables
            running = [asyncio.ensure_future(one) for one in work]
            serving = asyncio.ensure_future(server.serve(sockets=[door]))
            try:
                yield Gateway(
                    f"http://127.0.0.1:{port}",
                    host,
                    made,
                    self.state,
                    self.authority,
                    self.shared,
                    store,
                )
            finally:
                host.stopping.set()
                server.should_exit = True
                await serving
                for one in running:
                    one.cancel()
                await asyncio.gather(*running, return_exceptions=True)


@asynccontextmanager
async def world(bus: Bus | None = None) -> AsyncIterator[World]:
    """A bus with an authority, and published state."""
    made = World(bus or MemoryBus(KEYRING, now))
    publish(made.state)
    running = asyncio.ensure_future(made.bus.run(made.authority.group()))
    try:
        yield made
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def eventually(look: Callable[[], T | None]) -> T:
    """What `look` finds, as soon as it finds something; fails after five seconds."""
    for _ in range(500):
        if found := look():
            return found
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come about")
