"""The registry on twins and SQLite, with a door beside it."""

from dataclasses import dataclass, field
from datetime import timedelta

import httpx2
from joserfc.jwk import OKPKey
from starlette.applications import Starlette
from starlette.routing import Mount

from interlock.bus import Raw, Stamp
from interlock.bus.memory import MemoryBus
from interlock.contracts.access import ApiKeyRecord
from interlock.contracts.catalogue import Inspection
from interlock.contracts.outcomes import TaskFailed, TaskSucceeded
from interlock.contracts.requests import TaskAuthenticated
from interlock.contracts.task import Task, digest_of
from interlock.identity.statements import Signer
from interlock.identity.tokens import Tokens
from interlock.runtime.relay import Relay
from interlock.state import AGENTS, API_KEYS, CATALOGUE, ISSUERS, REVOCATIONS, TOOLSETS, USERS
from interlock.state.memory import MemoryState, MemoryStateReader, MemoryStateWriter
from interlock.storage.database import Database
from interlock.testing.build import KEYRING, NOON, noon, person, sent
from services.registry.handlers import Registry, Toolsets
from services.registry.http import Door, ToolsetDoor, routes, toolset_routes
from services.registry.store import SqlServers, SqlToolsets

EDGE = "https://interlock.example"
KINDS = (AGENTS, API_KEYS, CATALOGUE, ISSUERS, REVOCATIONS, TOOLSETS, USERS)


@dataclass
class Rig:
    """What a test may touch."""

    database: Database
    state: MemoryState = field(default_factory=MemoryState)
    wait_limit: float = 0.2

    def __post_init__(self) -> None:
        self.bus = MemoryBus(KEYRING, noon)
        self.relay = Relay(self.database, self.bus, MemoryStateWriter(self.state), noon)
        self.reader = MemoryStateReader(self.state, KINDS)
        self.signer = Signer.of("registry", OKPKey.generate_key("Ed25519"))
        self.registry = Registry(
            servers=SqlServers(self.database),
            stamp=Stamp("registry", KEYRING, noon),
            signer=self.signer,
            now=noon,
            inspect_within=timedelta(minutes=1),
        )
        self.toolsets = Toolsets(
            SqlToolsets(self.database), self.registry.servers, self.registry.stamp
        )
        self.tokens = Tokens(self.reader, audiences=(EDGE,), now=noon)

    def client(self, name: str, *roles: str) -> httpx2.AsyncClient:
        """A person with these roles, at the door."""
        secret = f"secret-of-{name}"
        record = ApiKeyRecord(
            tenant="acme",
            key_id=name,
            secret_digest=digest_of(secret),
            principal=person(name),
            roles=roles,
            issued_at=NOON,
        )
        self.state.publish(API_KEYS, "acme", name, record)
        door = Door(self.registry, self.relay, self.tokens, self.wait_limit)
        sets = ToolsetDoor(self.toolsets, self.relay, self.tokens)
        both = [*routes(door), *toolset_routes(sets)]
        app = Starlette(routes=[Mount("/registry", routes=both)])
        return httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=app),
            base_url=f"{EDGE}/registry",
            headers={"Authorization": f"Bearer ilk_{name}_{secret}"},
        )

    def asked(self) -> list[TaskAuthenticated]:
        """The `inspect` tasks that went out."""
        found = (TaskAuthenticated.model_validate_json(raw.body) for raw in self._requests())
        return list(found)

    def _requests(self) -> list[Raw]:
        return [r for r in self.bus.published if r.topic == "task.authenticated"]

    async def answer(self, task: Task, *tools: str) -> None:
        """The upstream was asked and offers these."""
        result = Inspection(protocol_version="2026-07-28", tools=tools).model_dump_json()
        await self.registry.inspected(sent(TaskSucceeded(task=task, result=result)))
        await self.relay.flush()

    async def fail(self, task: Task, why: str) -> None:
        """The upstream could not be asked."""
        fact = TaskFailed(task=task, code="unreachable", reason=why)
        await self.registry.not_inspected(sent(fact))
        await self.relay.flush()
