"""The ledger in a SQL database: chains, heads, checkpoints, and what records are found by."""

from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Row,
    RowMapping,
    Select,
    String,
    Table,
    Text,
    UniqueConstraint,
    bindparam,
    func,
    select,
    tuple_,
    update,
)
from sqlalchemy.exc import IntegrityError

from interlock.errors import Refused, Unreadable
from interlock.ledger import Checkpoint, Entry, Head, Origin, Record, link
from interlock.storage.database import Database
from interlock.storage.hot import Hot, InsertRows
from interlock.storage.statements import insert_ignore
from services.audit import decide, model
from services.audit.model import Count, Found, Kept, Question

METADATA = MetaData()
LEDGER = Table(
    "ledger",
    METADATA,
    Column("one", Integer, primary_key=True, autoincrement=False),
    Column("id", String, nullable=False),
    Column("shards", Integer, nullable=False),
)
HEADS = Table(
    "heads",
    METADATA,
    Column("shard", Integer, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, nullable=False),
    Column("hash", LargeBinary, nullable=False),
)
RECORDS = Table(
    "records",
    METADATA,
    Column("shard", Integer, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("previous", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("event_id", String, nullable=False),
    Column("tenant", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("arrived_at", BigInteger, nullable=False),
    Column("kept", LargeBinary, nullable=False),
    Column("fault", String, nullable=False),
    Column("reason", Text, nullable=False),
    Column("topic", String, nullable=False),
    Column("type", String, nullable=False),
    Column("source", String, nullable=False),
    Column("cause", String),
    Column("stated_at", BigInteger),
    Column("traceparent", String),
    Column("kind", String),
    Column("agent", String),
    Column("user", String),
    Column("server", String),
    Column("tool", String),
    Column("decision", String),
    Column("decision_id", String),
    Column("policy_version", BigInteger),
    Column("outcome", String),
    Column("latency", Float),
    UniqueConstraint("event_id", name="records_once"),
    Index("records_by_subject", "tenant", "subject"),
    Index("records_by_arrival", "tenant", "arrived_at"),
    Index("records_by_agent", "tenant", "agent", "arrived_at"),
    Index("records_by_server", "tenant", "server", "arrived_at"),
)
CHECKPOINTS = Table(
    "checkpoints",
    METADATA,
    Column("digest", String, primary_key=True),
    Column("time", BigInteger, nullable=False),
    Column("statement", Text, nullable=False),
    Index("checkpoints_by_time", "time"),
)
R = RECORDS.c
ENTRY, INDEX = Entry._fields, model.Index._fields
"""Columns behind those of the chain, in this order."""
FEW = 64
"""Records that are appended sooner than a thread takes turns with the loop's for them."""
RECENT = 2048
"""Tasks whose shard is remembered: a task's records come soon one after another."""
ARRIVAL = (R.arrived_at, R.shard, R.seq)

# Each batch runs these; built anew they would cost as much as they do.
_HEADS = select(HEADS.c.shard, HEADS.c.seq, HEADS.c.hash)
_LOCK = (
    _HEADS.where(HEADS.c.shard.in_(bindparam("shards", expanding=True)))
    .order_by(HEADS.c.shard)
    .with_for_update()
)
_KNOWN = select(R.event_id).where(R.event_id.in_(bindparam("ids", expanding=True)))
_HEAD = Hot(_HEADS.where(HEADS.c.shard == bindparam("of")))
_HAS = Hot(select(R.event_id).where(R.event_id == bindparam("id")))
_INSERT = InsertRows(RECORDS)
_MOVE = Hot(
    update(HEADS)
    .where(HEADS.c.shard == bindparam("of"))
    .values(seq=bindparam("to"), hash=bindparam("by"))
)


class SqlLedger:
    """Several processes may append at once: a shard's head row is its lock."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._origin: Origin | None = None

    @property
    def origin(self) -> Origin:
        """Which ledger it is; after `open`."""
        assert self._origin is not None, "the ledger is not open"
        return self._origin

    async def open(self, ledger_id: str, shards: int) -> None:
        """Make the ledger if there is none; `Refused` if it has another number of shards."""

        def work(connection: Connection) -> Origin:
            connection.execute(insert_ignore(LEDGER), {"one": 1, "id": ledger_id, "shards": shards})
            origin = Origin(*connection.execute(select(LEDGER.c.id, LEDGER.c.shards)).one())
            if origin.shards == shards:
                rows = [
                    {"shard": shard, "seq": 0, "hash": origin.genesis(shard)}
                    for shard in range(shards)
                ]
                connection.execute(insert_ignore(HEADS), rows)
            return origin

        origin = await self.database.run(work)
        if origin.shards != shards:
            raise Refused(
                f"the ledger was made with `{origin.shards}` shards and keeps them; set "
                f"`INTERLOCK_AUDIT_SHARDS` to `{origin.shards}` instead of `{shards}`"
            )
        self._origin = origin
        self._shard_of = lru_cache(RECENT)(origin.shard_of)

    async def append(self, kept: Sequence[Kept]) -> int:
        """Append each whose event is not there yet, all or none; how many were new."""
        shards: dict[int, dict[str, Kept]] = {}
        for one in kept:
            shard = self._shard_of(one.entry.tenant, one.entry.subject)
            shards.setdefault(shard, {}).setdefault(one.entry.event_id, one)
        how = self.database.quick if len(kept) <= FEW else self.database.run
        try:
            return await how(lambda connection: _append(connection, shards, look=False))
        except IntegrityError:  # one is there already, which is rare: then each is looked for
            return await how(lambda connection: _append(connection, shards, look=True))

    async def heads(self) -> list[Head]:
        """The ends of all shards, at one moment."""
        statement = _HEADS.order_by(HEADS.c.shard)
        return await self.database.glance(
            lambda connection: [Head(*row) for row in connection.execute(statement)]
        )

    async def chain(self, head: Head, after: int, limit: int) -> list[Found]:
        """Records of a shard behind `after`, in their order, up to its head."""
        return await self._found(
            select(RECORDS)
            .where(R.shard == head.shard, R.seq > after, R.seq <= head.seq)
            .order_by(R.seq)
            .limit(limit)
        )

    async def answer(self, question: Question) -> list[Found]:
        """What matches, newest first."""
        statement = select(RECORDS).where(*_where(question))
        newest = [column.desc() for column in ARRIVAL]
        return await self._found(statement.order_by(*newest).limit(question.limit))

    async def count(self, question: Question) -> list[Count]:
        """How many records match, by what they say."""
        by = (R.type, R.decision, R.outcome, R.fault)
        statement = select(*by, func.count()).where(*_where(question)).group_by(*by).order_by(*by)
        return await self.database.read(
            lambda connection: [Count(*row) for row in connection.execute(statement)]
        )

    async def add_checkpoint(self, checkpoint: Checkpoint, statement: str) -> None:
        """Keep a copy of a checkpoint beside the ledger, for exports."""
        digest = sha256(statement.encode()).hexdigest()
        row = {"digest": digest, "time": decide.micros(checkpoint.time), "statement": statement}
        await self.database.run(
            lambda connection: connection.execute(insert_ignore(CHECKPOINTS), row).close()
        )

    async def checkpoints(
        self, limit: int, before: tuple[int, str] | None = None
    ) -> list[tuple[int, str, str]]:
        """(time, digest, statement), newest first, of those older than `before`."""
        key = (CHECKPOINTS.c.time, CHECKPOINTS.c.digest)
        statement = select(*key, CHECKPOINTS.c.statement).order_by(*(c.desc() for c in key))
        if before is not None:
            statement = statement.where(tuple_(*key) < before)
        return await self.database.read(
            lambda connection: [
                (time, digest, signed)
                for time, digest, signed in connection.execute(statement.limit(limit))
            ]
        )

    async def _found(self, statement: Select[Any]) -> list[Found]:
        return await self.database.read(
            lambda connection: [_row(row) for row in connection.execute(statement)]
        )


def _append(connection: Connection, shards: dict[int, dict[str, Kept]], *, look: bool) -> int:
    """Locks come first and in order: no two processes wait for each other, and what is known
    cannot change any more once it was looked up. Without a `look`, what is there already is an
    error of the whole."""
    ids = [event_id for kept in shards.values() for event_id in kept] if look else []
    if connection.dialect.name == "sqlite":  # the transaction is alone in the file
        heads = [
            head for shard in sorted(shards) for head in _HEAD.found(connection, {"of": shard})
        ]
        known = {one for event_id in ids for (one,) in _HAS.found(connection, {"id": event_id})}
    else:
        heads = [tuple(row) for row in connection.execute(_LOCK, {"shards": list(shards)})]
        known = set(connection.execute(_KNOWN, {"ids": ids}).scalars()) if look else set()
    rows: list[tuple[Any, ...]] = []
    moved: list[dict[str, Any]] = []
    for shard, seq, hash_ in heads:
        new = [one for event_id, one in shards[shard].items() if event_id not in known]
        end = _chained(rows, Head(shard, seq, hash_), new)
        if new:
            moved.append({"of": shard, "to": end.seq, "by": end.hash})
    _INSERT(connection, rows)
    _MOVE.run(connection, moved)
    return len(rows)


def _chained(rows: list[tuple[Any, ...]], head: Head, new: Sequence[Kept]) -> Head:
    """Add the rows of `new` behind `head`; the head that they leave."""
    shard, seq, previous = head.shard, head.seq, head.hash
    for one in new:
        seq += 1
        hash_ = link(previous, shard, seq, one.entry)
        rows.append((shard, seq, previous, hash_, *one.entry, *one.index))
        previous = hash_
    return Head(shard, seq, previous)


def _where(question: Question) -> list[ColumnElement[bool]]:
    where: list[ColumnElement[bool]] = [R.tenant.in_(question.tenants)]
    for name in ("subject", "agent", "server", "tool", "type"):
        wanted = getattr(question, name)
        if wanted is not None:
            where.append(R[name] == wanted)
    if question.since is not None:
        where.append(R.arrived_at >= question.since)
    if question.until is not None:
        where.append(R.arrived_at < question.until)
    if after := question.after:
        where.append(tuple_(*ARRIVAL) < (after.arrived_at, after.shard, after.seq))
    return where


def misled(row: RowMapping) -> str | None:
    """Whether the columns that are searched say what the record says."""
    entry = Entry(*(row[name] for name in ENTRY))
    try:
        index = decide.index_again(entry)
    except (Unreadable, ValueError):
        return "cannot be compared with what it is found by"
    wrong = [name for name in INDEX if row[name] != getattr(index, name)]
    return f"is found by a wrong {', '.join(f'`{name}`' for name in wrong)}" if wrong else None


def _row(row: Row[Any]) -> Found:
    said = row._mapping
    entry = Entry(*(said[name] for name in ENTRY))
    index = model.Index(*(said[name] for name in INDEX))
    return Found(Record(row.shard, row.seq, row.previous, row.hash, entry), entry, index)
