"""Keep every message, sign how far the ledger is, verify it, hand it out."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import structlog

from interlock.bus import Arrival
from interlock.errors import Forged
from interlock.identity.statements import Signer, Trust
from interlock.ledger import (
    SIGNER,
    Anchor,
    Checkpoint,
    ExportWriter,
    Head,
    Record,
    Report,
    moved,
    sign_checkpoint,
)
from interlock.ledger.database import verify_database
from services.audit import decide, store
from services.audit.model import Found
from services.audit.store import SqlLedger

log = structlog.get_logger()
PAGE = 1000


@dataclass
class Audit:
    """The ledger's one writer in this process, and its readers."""

    ledger: SqlLedger
    anchor: Anchor
    signer: Signer = field(repr=False)
    trust: Trust
    now: Callable[[], datetime]
    _signed: Sequence[Head] = ()
    _statement: str = ""
    _signing: asyncio.Lock = field(default_factory=asyncio.Lock)
    _verifying: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def keep(self, arrivals: Sequence[Arrival]) -> None:
        """Append a batch in one transaction; what is there already is not appended again."""
        now = self.now()
        await self.ledger.append([decide.keeping(arrival, now) for arrival in arrivals])
        for arrival in arrivals:
            if arrival.fault:
                log.warning("record.faulty", fault=arrival.fault, topic=arrival.raw.topic.value)

    async def checkpoint(self) -> None:
        """Sign the heads if they moved, and keep that in the anchor, then beside the ledger.

        Raises `Forged` where the heads contradict those that this process signed before.
        """
        async with self._signing:
            heads = await self.ledger.heads()
            if moved(heads, self._signed):
                await self._sign(heads)

    async def _sign(self, heads: Sequence[Head]) -> str:
        checkpoint = Checkpoint(self.ledger.origin, self.now(), tuple(heads))
        statement = sign_checkpoint(self.signer, checkpoint)
        await asyncio.to_thread(self.anchor.append, checkpoint, statement)
        await self.ledger.add_checkpoint(checkpoint, statement)
        self._signed, self._statement = heads, statement
        return statement

    async def _as_of(self, heads: Sequence[Head]) -> str:
        """A checkpoint of `heads` as they are now.

        One that contradicts what was signed is not made: the last one goes out, and tells on them.
        """
        async with self._signing:
            try:
                moved(heads, self._signed)
            except Forged as error:
                log.warning("ledger.contradicted", why=error.detail)
                return self._statement
            return await self._sign(heads)

    async def verify(self) -> Report:
        """Verify the whole ledger against the anchor; one verification at a time."""
        async with self._verifying:
            return await verify_database(
                self.ledger.database, self.trust, self.anchor, self.now(), store.misled
            )

    async def export(self, tenants: Sequence[str]) -> AsyncGenerator[bytes]:
        """The ledger as a file (`interlock.ledger.export`); of other tenants only the chain."""
        heads, writer = await self.ledger.heads(), ExportWriter()
        yield writer.begin(self.ledger.origin, await self._as_of(heads))
        async for _, _, statement in self._checkpoints():
            yield writer.checkpoint(statement)
        for head in heads:
            seq = 0
            while page := await self.ledger.chain(head, seq, PAGE):
                yield b"".join([writer.record(_shown(found, tenants)) for found in page])
                seq = page[-1].record.seq
        yield writer.end()

    def public_keys(self) -> list[dict[str, Any]]:
        """Those that prove checkpoints (JWK)."""
        keys = self.trust.keys.items()
        return [dict(key.as_dict(private=False)) for (who, _), key in keys if who == SIGNER]

    async def _checkpoints(self) -> AsyncIterator[tuple[int, str, str]]:
        before = None
        while page := await self.ledger.checkpoints(PAGE, before):
            for one in page:
                yield one
            before = page[-1][:2]


def _shown(found: Found, tenants: Sequence[str]) -> Record:
    record = found.record
    if found.entry.tenant in tenants:
        return record
    return Record(record.shard, record.seq, record.previous, record.hash, None)
