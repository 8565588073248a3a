"""Servers: registered, inspected, moved through their lifecycle."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from pydantic import ValidationError

from interlock.bus import Effects, Envelope, Raw, Route, Stamp, on
from interlock.contracts.catalogue import Connection, Inspection, Lifecycle, ServerRecord
from interlock.contracts.changes import ServerInspected, ServerMoved, ServerRegistered, StateChanged
from interlock.contracts.ids import TaskId, derived
from interlock.contracts.outcomes import (
    TaskCancelled,
    TaskDenied,
    TaskFailed,
    TaskSucceeded,
    TaskUnknown,
)
from interlock.contracts.requests import TaskAuthenticated
from interlock.contracts.task import (
    Principal,
    PrincipalKind,
    Task,
    TaskKind,
    digest_of,
    request_digest,
)
from interlock.contracts.upstream_events import UpstreamListChanged
from interlock.errors import Refused
from interlock.identity.statements import Identity, Signer, sign_identity
from services.registry import decide
from services.registry.model import Entry, Looking, Moment, Similar, ToolChange
from services.registry.store import Change, Servers

Ended = TaskFailed | TaskDenied | TaskCancelled | TaskUnknown


@dataclass(frozen=True)
class Registry:
    """Commands, queries and handlers of the catalogue."""

    servers: Servers
    stamp: Stamp
    signer: Signer
    now: Callable[[], datetime]
    inspect_within: timedelta
    committed: Callable[[], None] = lambda: None
    """Told when something was saved that nobody waits for: it is to go out soon."""

    def routes(self) -> Sequence[Route]:
        """`inspect` tasks that ended, and upstreams that are not what they were. Other tasks' ends
        are no concern of ours."""
        return [
            on(TaskSucceeded, self.inspected),
            on(TaskFailed, self.not_inspected),
            on(TaskDenied, self.not_inspected),
            on(TaskCancelled, self.not_inspected),
            on(TaskUnknown, self.not_inspected),
            on(UpstreamListChanged, self.changed),
        ]

    # -- commands -------------------------------------------------------------------------------

    async def register(
        self, record: ServerRecord, by: Principal
    ) -> tuple[Entry, Sequence[Similar]]:
        """Take a server in as a draft and have a look at it; `Refused` if the name is taken."""
        warnings = decide.similar(record, await self.servers.records(record.tenant))
        entry, task = self._inspection(Entry(record=record, revision=1), by)
        fact = ServerRegistered(
            by=by,
            tenant=record.tenant,
            name=record.name,
            version=1,
            record_digest=digest_of(record.model_dump_json()),
        )
        change = self._change(entry, by, "registered", "", [fact])
        await self.servers.add(replace(change, messages=(*change.messages, task)))
        return entry, warnings

    async def inspect(self, tenant: str, name: str, by: Principal) -> Entry:
        """Have another look at the upstream."""
        entry = await self.found(tenant, name)
        asked, task = self._inspection(replace(entry, revision=entry.revision + 1), by)
        change = self._change(asked, by, "inspection asked for", "", [])
        await self.servers.save(replace(change, messages=(task,)))
        return asked

    async def move(
        self, entry: Entry, to: Lifecycle, by: Principal, reason: str, retire_on: date | None
    ) -> Entry:
        """Move a server through its lifecycle; `Refused` names the legal moves."""
        change, moved = self._moved(entry, to, by, reason, retire_on)
        await self.servers.save(change)
        return moved

    def _moved(
        self, entry: Entry, to: Lifecycle, by: Principal, reason: str, retire_on: date | None
    ) -> tuple[Change, Entry]:
        who = by.user or by.name
        record = decide.move(entry, to, by=who, retire_on=retire_on, today=self.now().date())
        moved = replace(entry, record=record, revision=entry.revision + 1)
        fact = ServerMoved(
            by=by,
            tenant=record.tenant,
            name=record.name,
            version=moved.revision,
            was=entry.record.lifecycle,
            now=to,
            reason=reason,
        )
        what = f"{entry.record.lifecycle} -> {to}"
        return self._change(moved, by, what, reason, [fact]), moved

    async def edit(
        self, entry: Entry, record: ServerRecord, tools: Mapping[str, ToolChange], by: Principal
    ) -> Entry:
        """Change what its owner may change."""
        changed = decide.edited(replace(entry, record=record), tools)
        changed = replace(changed, revision=entry.revision + 1)
        await self.servers.save(
            self._change(changed, by, "edited", "", [self._pinned(changed, by)])
        )
        return changed

    async def accept(self, entry: Entry, tool: str, by: Principal, reason: str) -> Entry:
        """Believe a definition that changed at the upstream."""
        taken = replace(decide.accepted(entry, tool), revision=entry.revision + 1)
        fact = self._pinned(taken, by)
        await self.servers.save(self._change(taken, by, f"accepted tool {tool}", reason, [fact]))
        return taken

    async def retire_due(self) -> int:
        """Retire what is past its date; how many were. Of several replicas one does each."""
        today = self.now().date()
        retired = 0
        for entry in decide.due_for_retirement(await self.servers.deprecated(), today):
            by = self._itself(entry.record.tenant, None)
            change, _ = self._moved(entry, Lifecycle.RETIRED, by, f"retirement date {today}", None)
            retired += await self._saved(change)
        return retired

    # -- queries --------------------------------------------------------------------------------

    async def found(self, tenant: str, name: str) -> Entry:
        """The server, or `Refused` (`not_found`)."""
        entry = await self.servers.get(tenant, name)
        if entry is None:
            raise Refused(f"there is no server `{name}`", code="not_found")
        return entry

    async def same_tools(self, entry: Entry) -> Sequence[Similar]:
        """Servers with exactly its tools."""
        return decide.same_tools(entry.record, await self.servers.records(entry.record.tenant))

    # -- the bus --------------------------------------------------------------------------------

    async def inspected(self, event: Envelope[TaskSucceeded]) -> Effects:
        """An upstream answered: pin what it offers. The end of an older inspection is ignored."""
        entry = await self._asked(event.body.task)
        ended = entry is not None and entry.looking is Looking.NO
        if entry is None or (ended and entry.record.inspected_at == event.time):
            return []
        try:
            inspection = Inspection.model_validate_json(event.body.result)
            seen = decide.inspected(entry, inspection, event.time)
        except (ValidationError, ValueError, KeyError) as error:
            return await self._note(event, f"the upstream's tools could not be read: {error}")
        by = event.body.task.principal
        seen, asked = self._looked(seen)
        change = self._change(seen, by, "inspected", "", [self._pinned(seen, by)])
        if not await self._saved(replace(change, messages=(*change.messages, *asked))):
            return await self.inspected(event)
        return []

    async def changed(self, event: Envelope[UpstreamListChanged]) -> Effects:
        """Look at an upstream whose lists have changed; what is believed of that is as ever.

        While an inspection is under way one more follows it, however much changes meanwhile.
        """
        entry = await self.servers.get(event.body.tenant, event.body.server)
        if entry is None or not entry.record.lifecycle.callable:
            return []
        if entry.looking is Looking.AGAIN:
            return []
        by = self._itself(entry.record.tenant, None)
        next_ = replace(entry, revision=entry.revision + 1)
        messages: tuple[Raw, ...] = ()
        if entry.looking is Looking.ASKED:
            next_ = replace(next_, looking=Looking.AGAIN)
        else:
            next_, task = self._inspection(next_, by)
            messages = (task,)
        why = f"the upstream changed its {', '.join(event.body.lists)}"
        change = self._change(next_, by, "inspection asked for", why, [])
        if not await self._saved(replace(change, messages=messages)):
            return await self.changed(event)
        return []

    async def not_inspected(self, event: Envelope[Ended]) -> Effects:
        """The look at an upstream failed: say so where its owner sees it."""
        return await self._note(event, event.body.reason)

    async def _asked(self, task: Task) -> Entry | None:
        if task.kind is not TaskKind.INSPECT:
            return None
        entry = await self.servers.get(task.tenant, task.server)
        return entry if entry is not None and entry.inspect_task == task.id else None

    async def _note(self, event: Envelope[TaskSucceeded] | Envelope[Ended], why: str) -> Effects:
        entry = await self._asked(event.body.task)
        if entry is None or entry.inspect_error is not None:
            return []
        noted, asked = self._looked(replace(entry, inspect_error=why))
        by = self._itself(entry.record.tenant, None)
        change = self._change(noted, by, "inspection failed", why, [])
        if not await self._saved(replace(change, messages=asked)):
            return await self._note(event, why)
        return []

    def _looked(self, entry: Entry) -> tuple[Entry, tuple[Raw, ...]]:
        """The entry after an inspection, and the next one where that is due already."""
        over = replace(entry, looking=Looking.NO, revision=entry.revision + 1)
        if entry.looking is not Looking.AGAIN:
            return over, ()
        asked, task = self._inspection(over, self._itself(entry.record.tenant, None))
        return asked, (task,)

    async def _saved(self, change: Change) -> bool:
        """False where somebody was faster: look again. Each such turn is somebody's progress."""
        try:
            await self.servers.save(change)
        except Refused as error:
            if error.code != "conflict":
                raise
            return False
        self.committed()
        return True

    # -- what goes out --------------------------------------------------------------------------

    def _itself(self, tenant: str, user: str | None) -> Principal:
        return Principal(tenant=tenant, kind=PrincipalKind.SERVICE, name="registry", user=user)

    def _pinned(self, entry: Entry, by: Principal) -> ServerInspected:
        return ServerInspected(
            by=by,
            tenant=entry.record.tenant,
            name=entry.record.name,
            version=entry.revision,
            record_digest=digest_of(entry.record.model_dump_json()),
            tools=tuple(tool.name for tool in entry.record.tools),
        )

    def _change(
        self, entry: Entry, by: Principal, what: str, reason: str, facts: Sequence[StateChanged]
    ) -> Change:
        moment = Moment(self.now(), by.label, what, reason)
        messages = [
            self.stamp.state(
                fact,
                derived(entry.record.tenant, entry.record.name, fact.type, entry.revision),
                None,
                None,
            )
            for fact in facts
        ]
        return Change(entry, moment, tuple(messages))

    def _inspection(self, entry: Entry, by: Principal) -> tuple[Entry, Raw]:
        """An `inspect` task for the entry: its arguments are the connection itself."""
        record = entry.record
        arguments = connection_text(record.connection)
        task_id = TaskId(derived("inspect", record.tenant, record.name, entry.revision))
        task = Task(
            id=task_id,
            principal=self._itself(record.tenant, by.user or by.name),
            kind=TaskKind.INSPECT,
            server=record.name,
            request_digest=request_digest(TaskKind.INSPECT, record.name, None, arguments),
            deadline=self.now() + self.inspect_within,
        )
        identity = sign_identity(self.signer, Identity.of(task))
        fact = TaskAuthenticated(task=task, arguments=arguments, identity=identity)
        raw = self.stamp.from_journal(fact, (0, 0), None)
        asked = replace(entry, inspect_task=task_id, inspect_error=None, looking=Looking.ASKED)
        return asked, raw


def connection_text(connection: Connection) -> str:
    """The exact JSON text of a connection."""
    return connection.model_dump_json()
