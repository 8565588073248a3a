"""What a verification found, for programs and for people."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

MOST = 1000
"""Findings and open tasks that are told one by one; all are counted."""


class Fault(StrEnum):
    """What can be wrong with a ledger."""

    EDITED = "edited"
    """A record is not what its hash was made of."""
    UNCHAINED = "unchained"
    """A record does not follow the one before it."""
    MISSING = "missing"
    """Records were taken out of a chain."""
    REORDERED = "reordered"
    """A record stands behind one that came later."""
    CUT = "cut"
    """The chain ends before the place that a checkpoint has."""
    REWRITTEN = "rewritten"
    """The chain holds together and contradicts a checkpoint: it was made anew."""
    CHECKPOINT = "checkpoint"
    """A checkpoint is forged, or two contradict each other."""
    INCOMPLETE = "incomplete"
    """An export lacks its end."""
    INDEX = "index"
    """A column that is searched says something else than the record."""
    DUPLICATE = "duplicate"
    """Two records have one event id."""
    CAUSE = "cause"
    """The event that caused a record is not in the ledger."""
    ENDS = "ends"
    """A task ended more than once, or was settled without having been unknown."""
    OVERDUE = "overdue"
    """A task is past its deadline and has no end."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, in one sentence."""

    fault: Fault
    text: str
    shard: int | None = None
    seq: int | None = None
    tenant: str | None = None
    """Set where the sentence tells of a tenant's task; others need not see it."""


class Findings:
    """Findings as they are made: all counted, the first ones kept."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.kept: list[Finding] = []

    def add(self, finding: Finding) -> None:
        self.counts[finding.fault.value] += 1
        if self.counts[finding.fault.value] <= MOST:
            self.kept.append(finding)


@dataclass(frozen=True, slots=True)
class ShardReport:
    """One chain."""

    shard: int
    records: int
    last_seq: int
    proven_seq: int
    """Up to here a checkpoint proves it."""

    @property
    def unproven(self) -> int:
        """Records after the last checkpoint: their chain holds, and nobody has signed it."""
        return max(0, self.last_seq - self.proven_seq)


@dataclass(frozen=True, slots=True)
class OpenTask:
    """A task without an end, in time."""

    tenant: str
    task: str
    deadline: datetime


@dataclass(frozen=True)
class Report:
    """The result of a verification."""

    ledger: str
    as_of: datetime | None
    """Up to when it reaches; None where an export's own checkpoint is not believed."""
    anchored: bool
    checkpoints: int
    proven_at: datetime | None
    """Time of the newest checkpoint that the chains bear out."""
    shards: tuple[ShardReport, ...]
    hidden: int
    """Records of which only the chain was there to be checked."""
    findings: tuple[Finding, ...]
    counts: Mapping[str, int]
    """All findings by fault, also those beyond the first of each."""
    open_tasks: tuple[OpenTask, ...]
    open_count: int
    late_causes: int
    """Records whose cause may still be on its way: they arrived within the last minute."""
    ended_tasks: int = 0

    @property
    def ok(self) -> bool:
        return not self.counts

    @property
    def records(self) -> int:
        return sum(shard.records for shard in self.shards)

    def seen_by(self, tenants: Collection[str]) -> "Report":
        """Without what is told of other tenants' tasks; counts stay."""
        return replace(
            self,
            findings=tuple(f for f in self.findings if f.tenant is None or f.tenant in tenants),
            open_tasks=tuple(task for task in self.open_tasks if task.tenant in tenants),
        )

    def as_data(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "ok": self.ok,
            "ledger": self.ledger,
            "as_of": self.as_of.isoformat() if self.as_of else None,
            "records": self.records,
            "hidden": self.hidden,
            "anchored": self.anchored,
            "checkpoints": self.checkpoints,
            "proven_at": self.proven_at.isoformat() if self.proven_at else None,
            "unproven": sum(shard.unproven for shard in self.shards),
            "shards": [
                {
                    "shard": one.shard,
                    "records": one.records,
                    "last_seq": one.last_seq,
                    "proven_seq": one.proven_seq,
                    "unproven": one.unproven,
                }
                for one in self.shards
            ],
            "faults": dict(self.counts),
            "findings": [
                {"fault": f.fault.value, "text": f.text, "shard": f.shard, "seq": f.seq}
                for f in self.findings
            ],
            "tasks": {"ended": self.ended_tasks, "open": self.open_count},
            "open_tasks": [
                {"tenant": o.tenant, "task": o.task, "deadline": o.deadline.isoformat()}
                for o in self.open_tasks
            ],
            "late_causes": self.late_causes,
        }

    def text(self) -> str:
        """For people."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        verdict = "holds" if self.ok else "DOES NOT HOLD"
        as_of = f", as of {self.as_of.isoformat()}" if self.as_of else ""
        yield f"ledger {self.ledger} {verdict}{as_of}"
        yield (
            f"{self.records} records in {len(self.shards)} shards, {self.checkpoints} checkpoints, "
            f"{self.ended_tasks} tasks ended, {self.open_count} open"
        )
        if self.hidden:
            yield f"{self.hidden} records of others: only their place in the chain was checked"
        yield self._tail()
        if self.late_causes:
            yield f"{self.late_causes} records of the last minute wait for their cause to arrive"
        for fault, count in sorted(self.counts.items()):
            yield f"{fault}: {count}"
        for finding in self.findings:
            yield f"  {finding.fault}: {finding.text}"

    def _tail(self) -> str:
        unproven = sum(shard.unproven for shard in self.shards)
        since = f"since {self.proven_at.isoformat()}" if self.proven_at else "from the start"
        if self.anchored:
            return f"proven by the anchor; unproven {since}: {unproven} records"
        return (
            f"no anchor was given: the tail is unproven {since} ({unproven} records are there; "
            "whether more were cut off, only the anchor can tell)"
        )
