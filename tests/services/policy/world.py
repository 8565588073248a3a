"""Policy with everything around it, on twins or on a database, and a clock that the test moves."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

from joserfc.jwk import OKPKey

from interlock.bus import Envelope, Raw, Stamp
from interlock.contracts.message import Fact
from interlock.contracts.requests import TaskAuthenticated
from interlock.contracts.task import NO_CLIENT, Client, Principal, Task, TaskKind, request_digest
from interlock.identity.caller import Caller
from interlock.identity.statements import Identity, Signer, Trust, sign_identity
from interlock.state import CATALOGUE, POLICY
from interlock.state.memory import MemoryState, MemoryStateReader
from interlock.storage import Database, migrate
from interlock.storage.outbox import unpublished_facts
from interlock.testing import build
from services.policy.handlers import Approvals, Bench, Rulebook, Tasks, Words
from services.policy.model import Decision
from services.policy.store import (
    Decisions,
    MemoryDecisions,
    MemorySets,
    Sets,
    SqlDecisions,
    SqlSets,
)
from tests.interlock.policy.build import EXPORT, READ, server

NOON = build.NOON
SIGNERS = {
    name: Signer.of(name, OKPKey.generate_key("Ed25519"))
    for name in ("gateway", "registry", "policy", "audit")
}
TRUST = Trust.of(*SIGNERS.values())
HOLD_BIG = """
@id("big-export") @reason("more than 10000 rows") @approvers("sales-manager") @expires("15m")
forbid (principal, action == Action::"call", resource)
when { context.arguments has rows && context.arguments.rows > 10000 }
unless { context.approved };
"""
SMALL, BIG = '{"rows":5}', '{"rows":50000}'
YES = '{"sure":{"action":"accept","content":{"rows":5}}}'
MANAGER = build.person("maria")


class World:
    """A replica of policy. Several share `decisions`, `sets` and `state`."""

    def __init__(self, decisions: Decisions, sets: Sets, state: MemoryState) -> None:
        self.decisions, self.sets, self.state = decisions, sets, state
        self.now = NOON
        self.stated = 0
        stamp = Stamp("policy", build.KEYRING, lambda: self.now)
        self.reader = MemoryStateReader(state, [CATALOGUE, POLICY])
        self.rulebook = Rulebook(sets, stamp, lambda: self.now)
        self.bench = Bench(
            self.reader.view(CATALOGUE),
            self.rulebook,
            lambda: self.now,
            self.reader.view(POLICY),
        )
        words = Words(stamp, SIGNERS["policy"])
        self.tasks = Tasks(decisions, self.bench, words, TRUST, self._stated)
        self.approvals = Approvals(decisions, self.bench, words, self.tasks)

    def _stated(self) -> None:
        self.stated += 1

    async def start(self) -> "World":
        """`crm` in the catalogue; `sales-copilot` may do all there; big exports are held."""
        self.state.publish(CATALOGUE, "acme", "crm", server())
        await self.reader.load()
        await self.rulebook.permit("sales-copilot", (READ, EXPORT), (), build.person())
        await self.rulebook.put("acme", "exports", HOLD_BIG, build.person())
        return self

    async def replica(self) -> "World":
        """Another one on the same stores."""
        other = World(self.decisions, self.sets, self.state)
        other.now = self.now
        await other.reader.load()
        await other.rulebook.refresh()
        return other

    def after(self, **passed: float) -> None:
        self.now = NOON + timedelta(**passed)

    async def row(self, task: Task) -> Decision:
        (row,) = await self.decisions.of(task.tenant, task.id)
        return row

    async def sent(self) -> list[Raw]:
        """What went into the outbox about tasks."""
        if isinstance(self.decisions, MemoryDecisions):
            return self.decisions.sent
        assert isinstance(self.decisions, SqlDecisions)
        facts = await self.decisions._database.read(
            lambda connection: unpublished_facts(connection, 1000)
        )
        return [fact for fact in facts if fact.topic != "state.changed"]


@asynccontextmanager
async def world(url: str | None) -> AsyncIterator[World]:
    """A world on twins, or on the database at `url`."""
    if url is None:
        yield await World(MemoryDecisions(), MemorySets(), MemoryState()).start()
        return
    database = Database(url, schema="policy")
    try:
        await migrate(database, "services.policy.migrations")
        yield await World(SqlDecisions(database), SqlSets(database), MemoryState()).start()
    finally:
        await database.close()


def task(task_id: str = "task-1", arguments: str = SMALL, **changed: Any) -> Task:
    """A call of `crm`'s `export_customers`."""
    kind = changed.get("kind", TaskKind.CALL)
    values: dict[str, Any] = {"server": "crm", "tool": "export_customers"} | changed
    digest = request_digest(kind, values["server"], values["tool"], arguments)
    return build.task(task_id, **values | {"request_digest": digest})


def asked(
    of: Task | None = None,
    arguments: str = SMALL,
    *,
    by: str = "gateway",
    event_id: str | None = None,
    **token: tuple[str, ...],
) -> Envelope[TaskAuthenticated]:
    """The request, its identity stated by service `by`."""
    wanted = of or task(arguments=arguments)
    identity = sign_identity(SIGNERS[by], Identity.of(wanted, **token))
    fact = build.authenticated(wanted, arguments, identity)
    return build.sent(fact, by, event_id=event_id)


def answered(
    given: str = YES,
    arguments: str = SMALL,
    number: int = 1,
    *,
    of: Task | None = None,
    client: Client = NO_CLIENT,
) -> Envelope[TaskAuthenticated]:
    """Input given to the task: its round `number`."""
    first = of or task(arguments=arguments)
    digest = request_digest(first.kind, first.server, first.tool, arguments, given)
    later = first.model_copy(update={"round": number, "request_digest": digest})
    identity = sign_identity(SIGNERS["gateway"], Identity.of(later))
    fact = build.authenticated(later, arguments, identity)
    return build.sent(fact.model_copy(update={"given": given, "client": client}), "gateway")


def caller(who: Principal = MANAGER, *roles: str) -> Caller:
    """Who stands at the door."""
    return Caller(who, (), roles, (), "token-1", NOON, None, "key")


def types(effects: Any) -> list[str]:
    """The short names of facts: `denied`, `authorized`, …"""
    names = [one.type if isinstance(one, Fact) else one.attributes["ce_type"] for one in effects]
    return [name.split(".")[-2] for name in names]


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
