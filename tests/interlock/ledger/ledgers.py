"""A ledger in a list, and its export as a file."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from joserfc.jwk import OKPKey

from interlock.bus import Raw
from interlock.contracts.task import Task
from interlock.identity.statements import Signer, Trust
from interlock.ledger import (
    SIGNER,
    Checkpoint,
    Entry,
    ExportWriter,
    Head,
    Origin,
    Record,
    Report,
    keep,
    link,
    sign_checkpoint,
    verify_export,
)
from interlock.testing import build

ORIGIN = Origin("ledger-1", 2)
NOON = int(build.NOON.timestamp()) * 1_000_000


def key() -> Signer:
    """A new key under the ledger's name."""
    return Signer.of(SIGNER, OKPKey.generate_key("Ed25519"))


def entry(raw: Raw, *, minute: int = 0, fault: str = "") -> Entry:
    """`raw` as it arrived some minutes after noon."""
    told = raw.attributes
    at = NOON + minute * 60_000_000
    return Entry(raw.id, told["ce_tenant"], told["ce_subject"], at, keep(raw), fault)


def story(of: str | Task = "task-1") -> list[Raw]:
    """A call that went well: asked, allowed, begun, answered."""
    asked = build.raw(build.authenticated(of), "gateway")
    allowed = build.raw(build.authorized(of), "policy", cause=asked.id)
    begun = build.raw(build.started(of), "invocation", cause=allowed.id)
    answered = build.raw(build.succeeded(of), "invocation", cause=allowed.id)
    return [asked, allowed, begun, answered]


@dataclass
class MemoryAnchor:
    """An anchor in a list."""

    kept: list[str] = field(default_factory=list)

    def append(self, checkpoint: Checkpoint, statement: str) -> None:
        self.kept.append(statement)

    def statements(self, origin: Origin) -> Iterator[str]:
        yield from self.kept


@dataclass
class Ledger:
    """Records in the order of an export: by shard, then seq."""

    folder: Path
    signer: Signer = field(default_factory=key)
    records: list[Record] = field(default_factory=list)
    statements: list[str] = field(default_factory=list)
    anchor: MemoryAnchor = field(default_factory=MemoryAnchor)

    @property
    def trust(self) -> Trust:
        return Trust.of(self.signer)

    def head(self, shard: int) -> Head:
        chain = [one for one in self.records if one.shard == shard]
        if not chain:
            return Head(shard, 0, ORIGIN.genesis(shard))
        return Head(shard, chain[-1].seq, chain[-1].hash)

    def append(self, entries: Iterable[Entry]) -> None:
        for one in entries:
            head = self.head(ORIGIN.shard_of(one.tenant, one.subject))
            hash_ = link(head.hash, head.shard, head.seq + 1, one)
            self.records.append(Record(head.shard, head.seq + 1, head.hash, hash_, one))
        self.records.sort(key=lambda record: (record.shard, record.seq))

    def checkpoint(self, minute: int = 0, signer: Signer | None = None) -> str:
        """Sign the heads as they are now, here and in the anchor."""
        heads = tuple(self.head(shard) for shard in range(ORIGIN.shards))
        made = Checkpoint(ORIGIN, moment(minute), heads)
        statement = sign_checkpoint(signer or self.signer, made)
        self.statements.append(statement)
        self.anchor.append(made, statement)
        return statement

    def rechain(self, records: Sequence[Record]) -> None:
        """What the database's owner can do: number and hash all anew."""
        self.records = []
        self.append([record.entry for record in records if record.entry])

    def export(self, as_of: str | None = None) -> Path:
        writer, path = ExportWriter(), self.folder / "export.gz"
        newest = as_of or self.statements[-1]
        with path.open("wb") as file:
            file.write(writer.begin(ORIGIN, newest))
            for statement in self.statements:
                file.write(writer.checkpoint(statement))
            for record in self.records:
                file.write(writer.record(record))
            file.write(writer.end())
        return path

    def verified(self, *, anchored: bool = False) -> Report:
        return verify_export(self.export(), self.trust, self.anchor if anchored else None)


def moment(minute: int) -> datetime:
    return build.NOON + timedelta(minutes=minute)
