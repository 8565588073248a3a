"""All of auth on twins and SQLite, in one process with a door beside it."""

from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import httpx2
import orjson
from joserfc.jwk import OKPKey
from starlette.applications import Starlette
from starlette.routing import Mount, Route

from interlock.bus import Envelope, Keyring, Stamp
from interlock.bus.memory import MemoryBus
from interlock.bus.wire import read
from interlock.contracts.access import AgentRecord
from interlock.contracts.message import Fact
from interlock.contracts.requests import TaskSubmitted
from interlock.contracts.task import Principal, PrincipalKind
from interlock.identity.sealing import CLIENT_SECRETS, Seal
from interlock.identity.statements import Signer, Trust
from interlock.identity.submissions import AgentKey, Request
from interlock.identity.tokens import Tokens
from interlock.runtime.relay import Relay
from interlock.state import AGENTS, API_KEYS, ISSUERS, REVOCATIONS, USERS
from interlock.state.memory import MemoryState, MemoryStateReader, MemoryStateWriter
from interlock.storage.database import Database
from services.auth.clients import MemoryDiscovery
from services.auth.handlers import (
    Access,
    Delegations,
    Introspecting,
    Issuers,
    Issuing,
    Newcomers,
    NewKey,
    Proving,
    Tenants,
    Users,
)
from services.auth.handlers.documents import Documents
from services.auth.handlers.stating import Stating
from services.auth.http import (
    Api,
    OAuth,
    TenantsApi,
    UsersApi,
    api_routes,
    oauth_routes,
    tenant_routes,
    user_routes,
)
from services.auth.store import SqlStore

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
EDGE = "https://interlock.example"
KINDS = (AGENTS, API_KEYS, ISSUERS, REVOCATIONS, USERS)
KEYRING = Keyring({"k1": b"k" * 32})
OLGA = Principal(tenant="default", kind=PrincipalKind.PERSON, name="olga")
ARGUMENTS = '{"q":"acme"}'


@dataclass
class Clock:
    time: datetime = NOON

    def __call__(self) -> datetime:
        return self.time


def counting(first: int = 1) -> Callable[[int], str]:
    """Hex that never repeats, for ids and secrets."""
    numbers = count(first)
    return lambda size: f"{next(numbers):0{2 * size}x}"


def signer(name: str) -> Signer:
    return Signer.of(name, OKPKey.generate_key("Ed25519"))


def public(key: AgentKey) -> str:
    return orjson.dumps(key.signer.key.as_dict(private=False)).decode()


def submission(key: AgentKey, now: datetime = NOON, **changes: Any) -> TaskSubmitted:
    """A call to `crm/search` that `key` signed; changes are signed, too."""
    values: dict[str, Any] = {
        "client_ref": "ref-1",
        "server": "crm",
        "tool": "search",
        "arguments": ARGUMENTS,
        "deadline": now + timedelta(hours=1),
    }
    return key.submit(Request(**values | changes), now)


def arrived(body: TaskSubmitted, message_id: str = "message-1") -> Envelope[Any]:
    """As the bus hands it over."""
    return read(Stamp(body.agent, KEYRING, Clock()).state(body, message_id, None, None))


@dataclass
class Rig:
    """What a test may touch."""

    database: Database
    first: int = 1
    """Of its random numbers: several on one database must not have the same."""
    clock: Clock = field(default_factory=Clock)
    shared: MemoryState = field(default_factory=MemoryState)
    discovery: MemoryDiscovery = field(default_factory=MemoryDiscovery)
    signer: Signer = field(default_factory=lambda: signer("auth"))

    def __post_init__(self) -> None:
        self.random_hex = counting(self.first)
        self.bus = MemoryBus(KEYRING, self.clock)
        self.relay = Relay(self.database, self.bus, MemoryStateWriter(self.shared), self.clock)
        self.reader = MemoryStateReader(self.shared, KINDS)
        self.tokens = Tokens(self.reader, audiences=(EDGE, f"{EDGE}/mcp"), now=self.clock)
        self.store = SqlStore(self.database)
        stating = Stating(Stamp("auth", KEYRING, self.clock))
        self.access = Access(self.store, stating, self.clock, self.random_hex)
        seal = Seal(KEYRING, CLIENT_SECRETS)
        self.issuers = Issuers(self.store, stating, self.discovery, self.clock, seal)
        self.users = Users(self.store, stating, self.clock)
        self.newcomers = Newcomers(self.store, self.users, self.clock)
        self.tenants = Tenants(self.store, stating, self.clock)
        self.issuing = Issuing(
            store=self.store,
            stating=stating,
            seal=Seal(KEYRING),
            now=self.clock,
            random_hex=self.random_hex,
            edge=EDGE,
            lifetime=timedelta(minutes=10),
        )
        self.proving = Proving(
            store=self.store,
            agents=self.reader.view(AGENTS),
            tokens=self.tokens,
            documents=Documents(self.discovery, self.clock),
            refetch=self.issuers.now_of,
            newcomers=self.newcomers,
            now=self.clock,
            issuer=self.issuing.issuer,
        )
        self.delegations = Delegations(
            store=self.store,
            signer=self.signer,
            trust=Trust.of(self.signer),
            revocations=self.reader.view(REVOCATIONS),
            now=self.clock,
            longest=timedelta(hours=8),
        )

    async def open(self) -> None:
        """What `build` does."""
        await self.issuing.ensure()
        await self.relay.flush()
        await self.reader.load()

    def app(self) -> Starlette:
        """Auth behind the edge."""
        return Starlette(routes=[Mount("/auth", routes=self.routes())])

    def routes(self) -> list[Route]:
        """Auth's own."""
        api = Api(
            self.store,
            self.access,
            self.issuers,
            self.issuing,
            self.delegations,
            self.relay,
            self.tokens,
        )
        introspecting = Introspecting(self.tokens, self.issuing.issuer)
        return [
            *api_routes(api),
            *user_routes(UsersApi(self.users, self.relay, self.tokens)),
            *tenant_routes(TenantsApi(self.tenants, self.access, self.relay, self.tokens)),
            *oauth_routes(OAuth(self.issuing, self.proving, introspecting)),
        ]

    async def key(self, *roles: str, tenant: str = "default", name: str = "olga") -> str:
        """An API key of a person with these roles."""
        who = Principal(tenant=tenant, kind=PrincipalKind.PERSON, name=name)
        _, text = await self.access.create_key(NewKey(who, roles=roles), who, ("admin",))
        await self.relay.flush()
        return text

    async def agent(self, name: str = "copilot", **changes: Any) -> AgentRecord:
        """A registered agent."""
        record = AgentRecord(**{"tenant": "default", "name": name} | changes)
        await self.access.register(record, OLGA, replace=True)
        await self.relay.flush()
        await self.reader.load()
        return record

    async def agent_key(self, name: str = "copilot", **changes: Any) -> str:
        """An API key of an agent."""
        who = Principal(tenant="default", kind=PrincipalKind.AGENT, name=name)
        new = replace(NewKey(who, ("crm:read", "crm:write")), **changes)
        _, text = await self.access.create_key(new, OLGA, ("admin",))
        await self.relay.flush()
        return text

    def facts(self) -> Sequence[Fact]:
        """All that was stated."""
        return [read(raw).body for raw in self.bus.published]

    def client(self, key: str | None = None) -> httpx2.AsyncClient:
        """A caller of the door."""
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        return httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=self.app()), base_url=EDGE, headers=headers
        )


def basic(client_id: str, secret: str) -> dict[str, str]:
    return {"Authorization": "Basic " + b64encode(f"{client_id}:{secret}".encode()).decode()}
