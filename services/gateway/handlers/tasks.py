"""A task's life at the door: asked for, looked at, cancelled."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from interlock.bus import Bus, Stamp
from interlock.contracts.ids import TaskId, derived
from interlock.contracts.requests import CancelRequested, TaskAuthenticated
from interlock.contracts.task import Principal, Task, request_digest
from interlock.errors import Refused
from interlock.identity.roles import Right, require
from interlock.identity.statements import Signer, sign_identity
from interlock.identity.tokens import Caller
from services.gateway.decide import admit, merge, schema
from services.gateway.decide.manner import SYNCHRONOUS, Manner
from services.gateway.handlers.sweeps import Sweeps, publish_now
from services.gateway.handlers.visible import Visible
from services.gateway.model import (
    NO_MEANS,
    Feature,
    InDoubt,
    Means,
    Offer,
    Place,
    Request,
    Sent,
    Snapshot,
)
from services.gateway.store import Accepting, Snapshots

IN_DOUBT = (0.02, 0.05, 0.1, 0.2)
"""Seconds between looks at whether an equal call's client is there still: for a lease at most."""


@dataclass(frozen=True)
class Asked:
    """What somebody asks for. `text` is the exact JSON text of `arguments`."""

    offer: Offer | Feature
    arguments: dict[str, Any]
    text: str
    within: timedelta
    """From now to the deadline."""
    key: str | None = None
    """Idempotency key."""
    traceparent: str | None = None
    rejoins: bool = False
    """As `store.Accepting` has it."""
    means: Means = NO_MEANS
    manner: Manner = SYNCHRONOUS


@dataclass(frozen=True)
class Tasks:
    """Commands and queries; every door of the gateway goes through here."""

    store: Snapshots
    bus: Bus
    sweeps: Sweeps
    visible: Visible
    stamp: Stamp
    signer: Signer
    now: Callable[[], datetime]
    new_id: Callable[[], str]
    url: str

    def url_of(self, task: Task | str) -> str:
        """Where a client finds the task."""
        return f"{self.url}/v1/tasks/{task if isinstance(task, str) else task.id}"

    def require_scopes(self, caller: Caller, offer: Offer | Feature) -> None:
        """`Refused` (`insufficient_scope`), with all scopes that it needs in `data`."""
        missing = admit.missing_token_scopes(caller, offer.scopes)
        if missing:
            names = ", ".join(f"`{name}`" for name in missing)
            raise Refused(
                f"the token lacks scope {names}, which {offer.told} requires; ask for a token "
                "with it",
                code="insufficient_scope",
                data={"scope": " ".join(offer.scopes)},
            )

    async def require_giver(self, caller: Caller, task: Task) -> None:
        """`Refused` (`forbidden`, `insufficient_scope`) unless the caller might ask for `task`
        itself: who gives it input says as much as who asked. `not_found` where its tool is gone."""
        require(caller, Right.TASKS_SUBMIT)
        offer: Offer | Feature
        if task.tool is not None:
            offer = await self.visible.find(task.tenant, task.server, task.tool)
        else:
            server = await self.visible.server(task.tenant, task.server)
            offer = Feature(server, task.kind, f"task {task.id}")
        self.require_scopes(caller, offer)

    def task(self, caller: Caller, asked: Asked) -> Task:
        """The task that a request is. Checks everything that can be known at the door.

        Raises `Refused`: `forbidden`, `insufficient_scope`, or `invalid` with all violations.
        """
        require(caller, Right.TASKS_SUBMIT)
        self.require_scopes(caller, asked.offer)
        offer, principal = asked.offer, caller.principal
        if isinstance(offer, Offer):
            schema.require_valid(self.visible.tool(offer).validator, asked.arguments, offer)
        server, tool, kind = offer.server.name, offer.tool_name, offer.kind
        made = TaskId(self.new_id()) if asked.key is None else admit.keyed_id(principal, asked.key)
        return Task(
            id=made,
            principal=principal,
            kind=kind,
            server=server,
            tool=tool,
            request_digest=request_digest(kind, server, tool, asked.text),
            deadline=self.now() + asked.within,
        )

    async def accept(self, caller: Caller, task: Task, asked: Asked) -> Snapshot:
        """Write the task down, then publish it; or give back what is there under its key, or the
        earlier call that it is (`Asked.rejoins`).

        Raises `Unavailable` where nothing was written and nothing will run, `Unsure` where that
        is not known. Once it returns the task is accepted, whatever happens to us.
        """
        await self.bus.check()
        fact = TaskAuthenticated(
            task=task,
            arguments=asked.text,
            identity=sign_identity(self.signer, caller.identity(task)),
            client=asked.means.client,
        )
        raw = self.stamp.from_journal(fact, (task.round, 0), None, asked.traceparent)
        new = merge.accepted(task, self.now())
        if self.store.publishes:
            new = merge.published(new)
        later = Request(asked.text, asked.means.client)  # a server may always want another round
        accepting = Accepting(new, raw, later, rejoins=asked.rejoins)
        pauses = iter(IN_DOUBT)
        while isinstance(there := await self.store.accept(accepting), InDoubt):
            accepting = replace(accepting, since=there.since)
            await asyncio.sleep(next(pauses, IN_DOUBT[-1]))
        if there is not None:
            await self.store.watch(there.place)
            return there
        if self.store.publishes:
            return new
        if await publish_now(self.bus, raw):
            self.sweeps.confirmed(Sent(new.place))
            return merge.published(new)
        return new

    async def show(self, caller: Caller, task_id: str) -> Snapshot:
        """A task; `Refused` (`not_found`) where there is none that the caller may see."""
        snapshot = await self.store.read(Place(caller.principal.tenant, task_id))
        if snapshot is None or not admit.readable(caller, snapshot):
            raise Refused(f"there is no task `{task_id[:100]}`", code="not_found")
        return snapshot

    async def recent(self, caller: Caller, limit: int) -> Sequence[Snapshot]:
        """The caller's own tasks, the newest first."""
        return await self.store.recent(caller.principal, limit)

    async def cancel(self, caller: Caller, task_id: str, reason: str) -> Snapshot:
        """Ask for its end. An ended task stays as it is."""
        snapshot = await self.show(caller, task_id)
        if not admit.cancellable(caller, snapshot):
            require(caller, Right.TASKS_CANCEL)
        if not snapshot.final:
            await self.request_cancel(snapshot.task, caller.principal, reason)
        return snapshot

    async def request_cancel(self, task: Task, by: Principal, reason: str) -> None:
        """State that somebody wants the task to stop."""
        fact = CancelRequested(task=task, by=by, reason=reason)
        made = derived(task.id, self.stamp.source, fact.type, by.label)
        await self.bus.publish([self.stamp.state(fact, made, None, None)])
