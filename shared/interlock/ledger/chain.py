"""Whether one shard is unbroken, and is what its checkpoints say that it was."""

from dataclasses import dataclass, field
from datetime import datetime

from interlock.ledger.checkpoint import Head
from interlock.ledger.record import Origin, Record, link
from interlock.ledger.report import Fault, Finding, Findings, ShardReport


@dataclass
class Chain:
    """Fed with checkpoints first, then with records in their order. Keeps no record."""

    origin: Origin
    shard: int
    findings: Findings
    last_seq: int = 0
    last_hash: bytes = b""
    records: int = 0
    proven_seq: int = 0
    proven_at: datetime | None = None
    _signed: dict[int, tuple[bytes, datetime]] = field(default_factory=dict)
    """Heads of checkpoints by seq, with the newest time at which it was the head."""

    def __post_init__(self) -> None:
        self.last_hash = self.origin.genesis(self.shard)

    def expect(self, head: Head, time: datetime) -> None:
        """A checkpoint has the shard end at `head`."""
        known, seen = self._signed.get(head.seq, (head.hash, time))
        if known != head.hash or (head.seq == 0 and head.hash != self.last_hash):
            said = f"checkpoints disagree about record {head.seq} of shard {self.shard}"
            self._find(Fault.CHECKPOINT, said, head.seq)
        elif head.seq == 0:
            self.proven_at = max(time, self.proven_at or time)
        else:
            self._signed[head.seq] = known, max(time, seen)

    def add(self, record: Record) -> None:
        """The next record."""
        self.records += 1
        self._check_content(record)
        place = f"record {record.seq} of shard {self.shard}"
        if record.seq <= self.last_seq:
            said = f"{place} stands behind record {self.last_seq}"
            self._find(Fault.REORDERED, said, record.seq)
            return
        if record.seq > self.last_seq + 1:
            gone = record.seq - self.last_seq - 1
            said = f"{gone} records before {place} are gone"
            self._find(Fault.MISSING, said, record.seq)
        elif record.previous != self.last_hash:
            said = f"{place} does not follow the record before it"
            self._find(Fault.UNCHAINED, said, record.seq)
        self.last_seq, self.last_hash = record.seq, record.hash
        if record.seq in self._signed:
            self._compare(record)

    def end(self) -> ShardReport:
        """After the last record."""
        if self._signed and (most := max(self._signed)) > self.last_seq:
            time = self._signed[most][1].isoformat()
            self._find(
                Fault.CUT,
                f"shard {self.shard} ends at record {self.last_seq}, and had {most} at {time}",
                self.last_seq,
            )
        return ShardReport(self.shard, self.records, self.last_seq, self.proven_seq)

    def _check_content(self, record: Record) -> None:
        if record.entry is None:
            return
        if link(record.previous, record.shard, record.seq, record.entry) != record.hash:
            said = f"record {record.seq} of shard {self.shard} is not what its hash was made of"
            self._find(Fault.EDITED, said, record.seq)

    def _compare(self, record: Record) -> None:
        signed, time = self._signed.pop(record.seq)
        if signed == record.hash:
            self.proven_seq, self.proven_at = record.seq, time
            return
        self._find(
            Fault.REWRITTEN,
            f"shard {self.shard} was made anew after record {self.proven_seq}: at record "
            f"{record.seq} it differs from the checkpoint of {time.isoformat()}",
            record.seq,
        )

    def _find(self, fault: Fault, text: str, seq: int) -> None:
        self.findings.add(Finding(fault, text, self.shard, seq))
