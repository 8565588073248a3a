"""Invocation's parts at work on twins and a real database, for its tests."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from time import monotonic
from typing import TypeVar

from joserfc.jwk import OKPKey

from interlock.bus import Group, MemoryBus, Raw, Stamp
from interlock.bus import Limits as BusLimits
from interlock.bus.wire import read
from interlock.contracts.access import AgentRecord
from interlock.contracts.catalogue import (
    Environment,
    HttpConnection,
    Lifecycle,
    ServerRecord,
    ToolRecord,
)
from interlock.contracts.message import Fact
from interlock.contracts.outcomes import (
    TaskCancelled,
    TaskDenied,
    TaskFailed,
    TaskInputRequired,
    TaskSucceeded,
    TaskUnknown,
)
from interlock.contracts.requests import CallAuthorized
from interlock.contracts.task import (
    NO_CLIENT,
    Client,
    Task,
    TaskEvent,
    TaskKind,
    digest_of,
    request_digest,
)
from interlock.identity.statements import Grant, Signer, Trust, sign_grant
from interlock.state import AGENTS, CATALOGUE, REVOCATIONS
from interlock.state.memory import MemoryState, MemoryStateReader
from interlock.storage.database import Database
from interlock.storage.migrate import migrate
from interlock.telemetry.metrics import Metrics
from interlock.telemetry.traces import open_traces
from interlock.testing import build
from services.invocation.clients import Upstream, UpstreamAnswer, UpstreamCall
from services.invocation.clients.memory import MemoryUpstream
from services.invocation.handlers import (
    Around,
    Ends,
    Intake,
    Published,
    Settling,
    Watching,
    Worker,
)
from services.invocation.model import Limits
from services.invocation.store import Journal

F = TypeVar("F", bound=Fact)

POLICY = Signer.of("policy", OKPKey.generate_key("Ed25519"))
STRANGER = Signer.of("policy", OKPKey.generate_key("Ed25519"))
TRUST = Trust.of(POLICY)
PATIENCE = 20.0
QUICK = Limits(first_pause=0.02, longest_pause=0.05, lease_seconds=0.5)
EMPTY = digest_of("{}")
RESULT = '{"content":[{"type":"text","text":"done"}]}'
ENDS = (TaskSucceeded, TaskFailed, TaskCancelled, TaskDenied, TaskUnknown)


class Clock:
    """Begins at noon and goes on with real time; `skip` moves it forward."""

    def __init__(self) -> None:
        self._began = monotonic()
        self.skipped = timedelta(0)

    def __call__(self) -> datetime:
        return build.NOON + timedelta(seconds=monotonic() - self._began) + self.skipped

    def skip(self, **by: float) -> None:
        self.skipped += timedelta(**by)


def tool(name: str, *, repeatable: bool, definition: str = "{}", **more: object) -> ToolRecord:
    return ToolRecord(
        name=name,
        definition=definition,
        digest=digest_of(definition),
        repeatable=repeatable,
    ).model_copy(update=more)


SEARCH = tool("search_opportunities", repeatable=True)
DISCOUNT = tool("grant_discount", repeatable=False)


def server(name: str = "crm", **changed: object) -> ServerRecord:
    record = ServerRecord(
        tenant="acme",
        name=name,
        capability="customers",
        owner_team="sales",
        technical_owner="olga",
        environment=Environment.DEVELOPMENT,
        connection=HttpConnection(url=f"http://{name}.example/mcp"),
        lifecycle=Lifecycle.MONITORED,
        tools=(SEARCH, DISCOUNT),
    )
    return record.model_copy(update=changed)


def task(
    task_id: str = "task-1",
    used: str = "search_opportunities",
    arguments: str = build.ARGUMENTS,
    on: str = "crm",
    **changed: object,
) -> Task:
    return build.task(
        task_id,
        server=on,
        tool=used,
        request_digest=request_digest(TaskKind.CALL, on, used, arguments),
        **changed,
    )


def authorized(
    of: Task,
    arguments: str = build.ARGUMENTS,
    *,
    signer: Signer = POLICY,
    given: str | None = None,
    client: Client = NO_CLIENT,
) -> CallAuthorized:
    """As policy states it: with a grant for exactly this task."""
    grant = Grant(task=of, policy_version=1, decision_id="d-1", tool_digest=EMPTY)
    signed = sign_grant(signer, grant)
    return CallAuthorized(task=of, arguments=arguments, grant=signed, given=given, client=client)


def in_round(of: Task, number: int, given: str, arguments: str = build.ARGUMENTS) -> Task:
    """The header of a task in a later round."""
    digest = request_digest(of.kind, of.server, of.tool, arguments, given)
    return of.model_copy(update={"round": number, "request_digest": digest})


def granted(of: Task, given: str, number: int = 1, client: Client = NO_CLIENT) -> CallAuthorized:
    """Input for a task, as policy grants it."""
    return authorized(in_round(of, number, given), given=given, client=client)


async def answering(call: UpstreamCall) -> UpstreamAnswer:
    return UpstreamAnswer(RESULT, is_error=False)


@dataclass
class Rig:
    """One process of invocation. Several may share `bus`, `state`, `database` and `clock`."""

    database: Database
    upstream: Upstream
    bus: MemoryBus
    state: MemoryState
    clock: Clock
    owner: str = "worker-1"
    limits: Limits = QUICK
    tasks: list["asyncio.Task[None]"] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.reader = MemoryStateReader(self.state, (CATALOGUE, AGENTS, REVOCATIONS))
        self.journal = Journal(self.database)
        self.around = Around(
            owner=self.owner,
            journal=self.journal,
            upstream=self.upstream,
            published=Published(self.reader),
            bus=self.bus,
            stamp=Stamp("invocation", build.KEYRING, self.clock),
            traces=open_traces({}),
            metrics=Metrics(),
            now=self.clock,
            limits=self.limits,
        )
        self.ends = Ends(self.around)
        self.worker = Worker(self.around, self.ends)
        self.watching = Watching(self.around, self.ends, self.worker, monotonic)
        self.settling = Settling(self.around, self.ends)
        self.intake = Intake(self.around, self.ends, self.worker, TRUST)

    def start(self) -> None:
        """Everything that runs in the background."""
        group = Group(
            "invocation", self.intake.routes(), limits=BusLimits(first_delay=0.01, max_delay=0.02)
        )
        jobs: Sequence[Callable[[], Awaitable[None]]] = (
            self.reader.run,
            self.worker.run,
            self.worker.beats,
            lambda: self.bus.run(group),
            lambda: self._again(self.watching.leases),
            lambda: self._again(self.watching.deadlines),
            lambda: self._again(self.ends.relay),
        )
        self.tasks = [asyncio.create_task(_run(job)) for job in jobs]

    async def _again(self, step: Callable[[], Awaitable[None]]) -> None:
        while True:
            await step()
            await asyncio.sleep(0.05)

    async def stop(self, drain: float = 5.0) -> None:
        """As the host stops a service: background first, then calls in hand."""
        self.worker.close()
        await self.kill()
        await self.worker.drain(drain)

    async def kill(self) -> None:
        """The background is gone at once."""
        for one in self.tasks:
            one.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.tasks = []

    # -- what tests say and see -----------------------------------------------------------------

    async def send(self, *facts: Fact) -> list[Raw]:
        raws = [build.raw(fact, "policy") for fact in facts]
        await self.bus.publish(raws)
        return raws

    def events(self, task_id: str = "task-1") -> list[TaskEvent]:
        """All distinct facts that were stated about a task, in the order of their publication."""
        found: dict[str, TaskEvent] = {}
        for raw in self.bus.published:
            fact = read(raw).body
            if isinstance(fact, TaskEvent) and fact.task.id == task_id:
                found.setdefault(raw.id, fact)
        return list(found.values())

    def stated(self, message: type[F], task_id: str = "task-1") -> list[F]:
        return [event for event in self.events(task_id) if isinstance(event, message)]

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not true():  # noqa: ASYNC110 - what the twins hold changes without an event
                await asyncio.sleep(0.005)

    async def asked(self, times: int = 1, task_id: str = "task-1") -> TaskInputRequired:
        """The question that a task asks, once it has asked so often."""
        await self.until(lambda: len(self.stated(TaskInputRequired, task_id)) >= times)
        return self.stated(TaskInputRequired, task_id)[times - 1]

    async def end(self, task_id: str = "task-1") -> TaskEvent:
        """How a task ended; there is one end and one only."""
        await self.until(lambda: any(isinstance(e, ENDS) for e in self.events(task_id)))
        (end,) = [event for event in self.events(task_id) if isinstance(event, ENDS)]
        return end


async def _run(job: Callable[[], Awaitable[None]]) -> None:
    await job()


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    database = Database(url, schema="invocation", durable=True)
    try:
        await migrate(database, "services.invocation.migrations")
        yield database
    finally:
        await database.close()


Opener = Callable[..., Rig]


@asynccontextmanager
async def rigs(url: str) -> AsyncIterator[Opener]:
    """Opens processes on one database; what runs at the end is stopped."""
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(opened(url))
        clock, state = Clock(), MemoryState()
        bus = MemoryBus(build.KEYRING, clock)
        state.publish(CATALOGUE, "acme", "crm", server())
        state.publish(
            AGENTS, "acme", "sales-copilot", AgentRecord(tenant="acme", name="sales-copilot")
        )
        made: list[Rig] = []

        def make(upstream: Upstream | None = None, *, start: bool = True, **more: object) -> Rig:
            number = f"worker-{os.getpid()}-{len(made) + 1}"
            rig = Rig(
                database, upstream or MemoryUpstream(answering), bus, state, clock, owner=number
            )
            rig = replace(rig, **more)  # type: ignore[arg-type]  # fields of Rig
            made.append(rig)
            if start:
                rig.start()
            return rig

        yield make
        for rig in made:
            await rig.kill()
            await rig.worker.drain(0.0)
            await rig.upstream.close()
