"""Where decisions are kept: one row per tenant, task and round, decided once."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import Connection, Row, insert, select, update

from interlock.bus import Raw
from interlock.contracts.ids import TaskId
from interlock.contracts.task import Client, Task
from interlock.contracts.topics import Topic
from interlock.storage.database import Database
from interlock.storage.hot import InsertNew
from interlock.storage.outbox import state_fact
from interlock.storage.statements import any_of
from services.policy.model import Answer, Approval, Ask, Decision, Key, State
from services.policy.store.tables import APPROVALS, DECISIONS

_INSERT = InsertNew(DECISIONS, ("tenant", "task_id", "round"))


class Decisions(Protocol):
    """All decisions."""

    async def once(self, proposals: Sequence[Decision]) -> Sequence[Decision]:
        """Keep each unless its task and round has a row; the rows that are there then, in order."""

    async def answer(self, answer: Answer) -> Decision:
        """Change a decision, if it is still held as it was; the row that is there then.

        Its messages go out, and its approval is kept, only where it was changed.
        """

    async def of(self, tenant: str, task_id: TaskId) -> Sequence[Decision]:
        """All rounds of a task."""

    async def approvals(self, tenant: str, task_id: TaskId) -> Sequence[Approval]:
        """All answers that people gave to a task, oldest first."""

    async def held(self, tenant: str, limit: int) -> Sequence[Decision]:
        """A tenant's held tasks, those first that lapse first."""

    async def due(self, now: datetime, limit: int) -> Sequence[Decision]:
        """Held tasks of every tenant whose time is over."""


class MemoryDecisions:
    """A dict: for tests. `sent` is what went into the outbox."""

    def __init__(self) -> None:
        self.rows: dict[Key, Decision] = {}
        self.given: list[tuple[Key, Approval]] = []
        self.sent: list[Raw] = []

    async def once(self, proposals: Sequence[Decision]) -> Sequence[Decision]:
        return [self.rows.setdefault(proposal.key, proposal) for proposal in proposals]

    async def answer(self, answer: Answer) -> Decision:
        key = answer.before.key
        row = self.rows[key]
        if row.state is State.HELD and row.revision == answer.before.revision:
            self.rows[key] = answer.after
            self.sent += answer.messages
            if answer.approval is not None:
                self.given.append((key, answer.approval))
        return self.rows[key]

    async def of(self, tenant: str, task_id: TaskId) -> Sequence[Decision]:
        return [row for key, row in sorted(self.rows.items()) if key[:2] == (tenant, task_id)]

    async def approvals(self, tenant: str, task_id: TaskId) -> Sequence[Approval]:
        return [approval for key, approval in self.given if key[:2] == (tenant, task_id)]

    async def held(self, tenant: str, limit: int) -> Sequence[Decision]:
        return [row for row in self._held() if row.task.tenant == tenant][:limit]

    async def due(self, now: datetime, limit: int) -> Sequence[Decision]:
        return [row for row in self._held() if row.expires_at and row.expires_at <= now][:limit]

    def _held(self) -> list[Decision]:
        held = [row for row in self.rows.values() if row.state is State.HELD]
        return sorted(held, key=lambda row: (row.expires_at or row.task.deadline, row.key))


class SqlDecisions:
    """Tables of policy's own database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def once(self, proposals: Sequence[Decision]) -> Sequence[Decision]:
        rows = [_values(proposal) for proposal in proposals]

        def work(connection: Connection) -> Sequence[Decision]:
            if all(_INSERT(connection, rows)):
                return proposals
            found = {row.key: row for row in _rows(connection, _any_of(proposals))}
            return [found[proposal.key] for proposal in proposals]

        return await self._database.quick(work)

    async def answer(self, answer: Answer) -> Decision:
        before, after = answer.before, answer.after
        change = (
            update(DECISIONS)
            .where(_any_of([before]), DECISIONS.c.state == State.HELD.value)
            .where(DECISIONS.c.revision == before.revision)
            .values(_values(after))
        )

        def work(connection: Connection) -> Decision:
            if connection.execute(change).rowcount != 1:
                return _rows(connection, _any_of([before]))[0]
            for message in answer.messages:
                state_fact(connection, message)
            if answer.approval is not None:
                connection.execute(insert(APPROVALS), _approval_values(before, answer.approval))
            return after

        return await self._database.run(work)

    async def of(self, tenant: str, task_id: TaskId) -> Sequence[Decision]:
        where = (DECISIONS.c.tenant == tenant, DECISIONS.c.task_id == task_id)
        return await self._database.read(lambda connection: _rows(connection, *where))

    async def approvals(self, tenant: str, task_id: TaskId) -> Sequence[Approval]:
        statement = (
            select(APPROVALS)
            .where(APPROVALS.c.tenant == tenant, APPROVALS.c.task_id == task_id)
            .order_by(APPROVALS.c.at, APPROVALS.c.id)
        )
        return await self._database.read(
            lambda connection: [_approval(row) for row in connection.execute(statement)]
        )

    async def held(self, tenant: str, limit: int) -> Sequence[Decision]:
        return await self._held(limit, DECISIONS.c.tenant == tenant)

    async def due(self, now: datetime, limit: int) -> Sequence[Decision]:
        return await self._held(limit, DECISIONS.c.expires_at <= now)

    async def _held(self, limit: int, where: Any) -> Sequence[Decision]:
        statement = (
            select(DECISIONS)
            .where(DECISIONS.c.state == State.HELD.value, where)
            .order_by(DECISIONS.c.expires_at, DECISIONS.c.task_id)
            .limit(limit)
        )
        return await self._database.read(
            lambda connection: [_decision(row) for row in connection.execute(statement)]
        )


def _any_of(decisions: Sequence[Decision]) -> Any:
    columns = (DECISIONS.c.tenant, DECISIONS.c.task_id, DECISIONS.c.round)
    return any_of(columns, [decision.key for decision in decisions])


def _rows(connection: Connection, *where: Any) -> list[Decision]:
    statement = select(DECISIONS).where(*where).order_by(DECISIONS.c.round)
    return [_decision(row) for row in connection.execute(statement)]


def _values(decision: Decision) -> dict[str, Any]:
    tenant, task_id, number = decision.key
    return {
        "tenant": tenant,
        "task_id": task_id,
        "round": number,
        "state": decision.state.value,
        "task": decision.task.model_dump_json(),
        "decision_id": decision.decision_id,
        "policy_version": decision.policy_version,
        "code": decision.code,
        "reason": decision.reason,
        "because": decision.because,
        "approvers": decision.approvers,
        "decided_at": decision.decided_at,
        "expires_at": decision.expires_at,
        "ask": None if decision.ask is None else _ask_kept(decision.ask),
        "facts": _packed(decision.facts),
        "later": _packed(decision.later),
        "revision": decision.revision,
    }


def _decision(row: Row[Any]) -> Decision:
    return Decision(
        task=Task.model_validate_json(row.task),
        state=State(row.state),
        decision_id=row.decision_id,
        policy_version=row.policy_version,
        code=row.code,
        reason=row.reason,
        because=tuple(row.because),
        approvers=tuple(row.approvers),
        decided_at=row.decided_at,
        expires_at=row.expires_at,
        ask=None if row.ask is None else _ask(row.ask),
        facts=_unpacked(row.facts),
        later=_unpacked(row.later),
        revision=row.revision,
    )


def _ask_kept(ask: Ask) -> dict[str, Any]:
    return vars(ask) | {"client": ask.client.model_dump()}


def _ask(kept: dict[str, Any]) -> Ask:
    names = {name: tuple(kept[name]) for name in ("roles", "groups", "token_scopes")}
    return Ask(
        arguments=kept["arguments"],
        **names,
        given=kept.get("given"),
        client=Client(**kept.get("client", {})),
        approval_id=kept.get("approval_id"),
    )


def _packed(facts: Sequence[Raw]) -> list[Any]:
    return [[fact.topic.value, dict(fact.attributes), fact.body.decode()] for fact in facts]


def _unpacked(facts: Sequence[Any]) -> tuple[Raw, ...]:
    return tuple(Raw(Topic(topic), attributes, body.encode()) for topic, attributes, body in facts)


def _approval_values(decision: Decision, approval: Approval) -> dict[str, Any]:
    tenant, task_id, number = decision.key
    return {"tenant": tenant, "task_id": task_id, "round": number, **vars(approval)}


def _approval(row: Row[Any]) -> Approval:
    return Approval(
        id=row.id,
        by=row.by,
        answer=row.answer,
        reason=row.reason,
        request_digest=row.request_digest,
        held_under=row.held_under,
        judged_under=row.judged_under,
        at=row.at,
    )
