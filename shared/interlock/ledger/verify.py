"""Verification: of an export by anybody who has the public key, or of a database by its service."""

from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from interlock.errors import Forged, Refused
from interlock.identity.statements import Trust
from interlock.ledger.chain import Chain
from interlock.ledger.checkpoint import Anchor, read_checkpoint
from interlock.ledger.completeness import Completeness
from interlock.ledger.export import Beginning, End, read_export
from interlock.ledger.record import Origin, Record
from interlock.ledger.report import Fault, Finding, Findings, Report


class Verifier:
    """Fed with all checkpoints, then with all records, each shard in its order; then asked once.

    Memory grows with checkpoints (some 200 bytes a shard), not with records. To be closed.
    """

    def __init__(self, origin: Origin, trust: Trust, as_of: datetime | None) -> None:
        """`as_of`: the moment at which the records were all that there were.

        Checkpoints made later say nothing about them.
        """
        self._origin = origin
        self._trust = trust
        self._as_of = as_of
        self._findings = Findings()
        self._chains = [Chain(origin, shard, self._findings) for shard in range(origin.shards)]
        self._completeness = Completeness(self._findings)
        self._seen: set[bytes] = set()
        self._checkpoints = 0
        self._hidden = 0
        self._anchored = False

    def close(self) -> None:
        self._completeness.close()

    def anchored(self, statements: Iterable[str]) -> None:
        """Checkpoints from outside the database."""
        self._anchored = True
        self.checkpoints(statements)

    def checkpoints(self, statements: Iterable[str]) -> None:
        """Those that lie beside the ledger."""
        for statement in statements:
            self.checkpoint(statement)

    def checkpoint(self, statement: str) -> None:
        """One checkpoint, believed only if its signature is good; known ones are passed over."""
        digest = sha256(statement.encode()).digest()
        if digest in self._seen:
            return
        self._seen.add(digest)
        try:
            found = read_checkpoint(self._trust, statement, self._origin)
        except Forged as error:
            self._findings.add(Finding(Fault.CHECKPOINT, error.detail))
            return
        if self._as_of is None or found.time <= self._as_of:
            self._checkpoints += 1
            for head in found.heads:
                self._chains[head.shard].expect(head, found.time)

    def add(self, record: Record) -> None:
        """The next record of its shard."""
        if not 0 <= record.shard < self._origin.shards:
            raise Refused(f"there is no shard `{record.shard}` in this ledger")
        self._hidden += record.entry is None
        self._chains[record.shard].add(record)
        self._completeness.add(record)

    def found(self, finding: Finding) -> None:
        """Something that the caller found, to be told with the rest."""
        self._findings.add(finding)

    def report(self) -> Report:
        """The result, after the last record."""
        shards = tuple(chain.end() for chain in self._chains)
        self._completeness.end(self._as_of)
        times = [chain.proven_at for chain in self._chains if chain.proven_at is not None]
        return Report(
            ledger=self._origin.ledger,
            as_of=self._as_of,
            anchored=self._anchored,
            checkpoints=self._checkpoints,
            proven_at=min(times) if len(times) == len(shards) else None,
            shards=shards,
            hidden=self._hidden,
            findings=tuple(self._findings.kept),
            counts=dict(self._findings.counts),
            open_tasks=tuple(self._completeness.open_tasks),
            open_count=self._completeness.open_count,
            late_causes=self._completeness.late_causes,
            ended_tasks=self._completeness.ended,
        )


def verify_export(path: Path, trust: Trust, anchor: Anchor | None = None) -> Report:
    """Verify the export at `path`, offline. Raises `Refused` where it is none at all."""
    lines = read_export(path)
    beginning = next(lines, None)
    if not isinstance(beginning, Beginning):
        raise Refused(f"`{path}` does not begin as a ledger's export does")
    as_of = _as_of(trust, beginning)
    with closing(Verifier(beginning.origin, trust, as_of)) as verifier:
        verifier.checkpoint(beginning.as_of)
        if anchor is not None:
            verifier.anchored(anchor.statements(beginning.origin))
        _feed(verifier, lines)
        return verifier.report()


def _as_of(trust: Trust, beginning: Beginning) -> datetime | None:
    """Time of the export's own checkpoint; None if it is forged, which the verifier then tells."""
    try:
        return read_checkpoint(trust, beginning.as_of, beginning.origin).time
    except Forged:
        return None


def _feed(verifier: Verifier, lines: Iterator[Beginning | str | Record | End]) -> None:
    records, end = 0, None
    for line in lines:
        if isinstance(line, Record):
            records += 1
            verifier.add(line)
        elif isinstance(line, str):
            verifier.checkpoint(line)
        elif isinstance(line, End):
            end = line
    if end is None:
        text = f"the export breaks off after {records} records; fetch it again"
        verifier.found(Finding(Fault.INCOMPLETE, text))
    elif end.records != records:
        text = f"the export says that it has {end.records} records, and has {records}"
        verifier.found(Finding(Fault.INCOMPLETE, text))
