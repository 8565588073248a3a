"""Whether the records tell whole stories: each with its cause, each task with exactly one end."""

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from interlock.contracts import outcomes
from interlock.contracts.changes import DeadLetterDropped, DeadLetterRedriven
from interlock.errors import Unreadable
from interlock.ledger.record import Entry, Record, parts
from interlock.ledger.report import MOST, Fault, Finding, Findings, OpenTask

ENDS = frozenset(
    one.type
    for one in (
        outcomes.TaskSucceeded,
        outcomes.TaskFailed,
        outcomes.TaskDenied,
        outcomes.TaskCancelled,
        outcomes.TaskUnknown,
    )
)
SUBMISSIONS = frozenset({outcomes.TaskAccepted.type, outcomes.TaskRefused.type})
"""They name the submission that caused them, which the ledger does not hold. Its sender chose its
id: another submission may have the same one, and that is nobody's fault here."""
OUTSIDE = frozenset({DeadLetterRedriven.type, DeadLetterDropped.type})
"""Their cause is a dead letter, no event."""
STILL_COMING = timedelta(minutes=1)
"""Topics are read side by side: a cause may arrive this much after what it caused."""
TO_BE_ENDED = timedelta(minutes=3)
"""After its deadline: the gateway asks for its end from 60 s on, every minute."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
BATCH = 2000

_TABLES = """
CREATE TABLE facts (id TEXT, cause TEXT, shard INT, seq INT, arrived INT, tenant TEXT, task TEXT);
CREATE TABLE steps (tenant TEXT, task TEXT, type TEXT, deadline INT, arrived INT);
CREATE TABLE submissions (id TEXT);
"""
_INDEXES = """
CREATE INDEX by_id ON facts (id);
CREATE INDEX by_submission ON submissions (id);
"""
_DUPLICATES = "SELECT id, count(*), max(shard), max(seq) FROM facts GROUP BY id HAVING count(*) > 1"
_CAUSELESS = """
SELECT id, cause, shard, seq, arrived, tenant FROM facts WHERE cause IS NOT NULL
AND NOT EXISTS (SELECT 1 FROM facts AS whence WHERE whence.id = facts.cause)
AND NOT EXISTS (SELECT 1 FROM submissions WHERE submissions.id = facts.cause)
"""
_TASKS = f"""
SELECT tenant, task, max(deadline), max(arrived),
 sum(type IN ({", ".join(f"'{name}'" for name in sorted(ENDS))})) AS ends,
 sum(type = '{outcomes.TaskUnknown.type}') AS unknown,
 sum(type = '{outcomes.TaskSettled.type}') AS settled
FROM steps GROUP BY tenant, task
"""


class Completeness:
    """Remembers ids, causes and ends in a temporary file, so memory does not grow with records."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._database.execute("PRAGMA synchronous=OFF")
        self._database.executescript(_TABLES + "BEGIN;")
        self._facts: list[tuple[Any, ...]] = []
        self._steps: list[tuple[Any, ...]] = []
        self._submissions: list[tuple[str]] = []
        self._newest = 0
        self.ended = 0
        self.open_count = 0
        self.open_tasks: list[OpenTask] = []
        self.late_causes = 0

    def add(self, record: Record) -> None:
        """One more record, in any order."""
        entry = record.entry
        if entry is None:
            return
        self._newest = max(self._newest, entry.arrived_at)
        cause = None
        if entry.fault in {"", "unknown_type"}:
            cause = self._read(record, entry)
        self._facts.append(
            (
                entry.event_id,
                cause,
                record.shard,
                record.seq,
                entry.arrived_at,
                entry.tenant,
                entry.subject,
            )
        )
        if len(self._facts) >= BATCH:
            self._flush()

    def end(self, as_of: datetime | None) -> None:
        """Judge it all, as it stood at `as_of`; None: when the last record arrived."""
        self._flush()
        self._database.executescript(_INDEXES)
        now = as_of or _moment(self._newest)
        self._judge_ids()
        self._judge_causes(now)
        self._judge_tasks(now)

    def close(self) -> None:
        self._database.close()

    def _read(self, record: Record, entry: Entry) -> str | None:
        """Take note of what a believed record says; its cause, where that must be in here."""
        try:
            _, attributes, body = parts(entry.kept)
            said = orjson.loads(body)
            deadline = _micros(said["task"]["deadline"]) if "task" in said else 0
        except (Unreadable, ValueError, KeyError, TypeError):
            where = f"record {record.seq} of shard {record.shard}"
            text = f"{where} holds no message that can be read"
            self._findings.add(Finding(Fault.EDITED, text, record.shard, record.seq))
            return None
        type_ = attributes.get("ce_type", "")
        if "task" in said:
            self._steps.append((entry.tenant, entry.subject, type_, deadline, entry.arrived_at))
        if type_ in SUBMISSIONS:
            self._submissions.append((said["submission_id"],))
        cause = attributes.get("ce_cause", "").encode("utf-8", "replace").decode()
        return cause if cause and type_ not in OUTSIDE else None

    def _flush(self) -> None:
        execute = self._database.executemany
        execute("INSERT INTO facts VALUES (?, ?, ?, ?, ?, ?, ?)", self._facts)
        execute("INSERT INTO steps VALUES (?, ?, ?, ?, ?)", self._steps)
        execute("INSERT INTO submissions VALUES (?)", self._submissions)
        self._facts, self._steps, self._submissions = [], [], []

    def _judge_ids(self) -> None:
        for id_, count, shard, seq in self._rows(_DUPLICATES):
            text = f"event {id_} is in the ledger {count} times"
            self._findings.add(Finding(Fault.DUPLICATE, text, shard, seq))

    def _judge_causes(self, now: datetime) -> None:
        since = _micros(now - STILL_COMING)
        for id_, cause, shard, seq, arrived, tenant in self._rows(_CAUSELESS):
            if arrived >= since:
                self.late_causes += 1
                continue
            text = f"event {id_} was caused by {cause}, which is not in the ledger"
            self._findings.add(Finding(Fault.CAUSE, text, shard, seq, tenant))

    def _judge_tasks(self, now: datetime) -> None:
        for tenant, task, deadline, arrived, ends, unknown, settled in self._rows(_TASKS):
            late = arrived >= _micros(now - STILL_COMING)
            wrong = _wrong_ends(ends, unknown, settled, late)
            if wrong:
                text = f"task {task} {wrong}"
                self._findings.add(Finding(Fault.ENDS, text, tenant=tenant))
            if ends or settled:
                self.ended += 1
            else:
                self._open(OpenTask(tenant, task, _moment(deadline)), now)

    def _open(self, task: OpenTask, now: datetime) -> None:
        self.open_count += 1
        if now > task.deadline + TO_BE_ENDED:
            due = task.deadline.isoformat()
            text = f"task {task.task} has no end, and was due at {due}"
            self._findings.add(Finding(Fault.OVERDUE, text, tenant=task.tenant))
        elif len(self.open_tasks) < MOST:
            self.open_tasks.append(task)

    def _rows(self, query: str) -> Iterator[tuple[Any, ...]]:
        yield from self._database.execute(query)


def _micros(moment: datetime | str) -> int:
    """Microseconds since 1970."""
    when = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    return (when - EPOCH) // timedelta(microseconds=1)


def _moment(micros: int) -> datetime:
    return EPOCH + timedelta(microseconds=micros)


def _wrong_ends(ends: int, unknown: int, settled: int, late: bool) -> str:
    """What is wrong with how a task ended; empty where nothing is."""
    if ends > 1:
        return f"ended {ends} times"
    if settled > 1:
        return f"was settled {settled} times"
    if settled and not unknown and not late:
        return "was settled without having been unknown"
    return ""
