"""Keep every message, sign how far the ledger is, verify it, hand it out."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import structlog

from interlock.bus import Arrival
from interlock.errors import Forged, Unreadable
from interlock.identity.statements import Signer, Trust
from interlock.ledger import (
    SIGNER,
    Anchor,
    Checkpoint,
    ExportWriter,
    Fault,
    Finding,
    Head,
    Record,
    Report,
    Verifier,
    moved,
    sign_checkpoint,
)
from services.audit import decide
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
            origin = self.ledger.origin
            anchor = await asyncio.to_thread(lambda: list(self.anchor.statements(origin)))
            beside = [statement async for _, _, statement in self._checkpoints()]
            heads = await self.ledger.heads()  # after checkpoints, so that none is ahead of them
            with closing(Verifier(origin, self.trust, self.now())) as verifier:
                await asyncio.to_thread(verifier.anchored, anchor)
                await asyncio.to_thread(verifier.checkpoints, beside)
                for head in heads:
                    await self._verify(verifier, head)
                return await asyncio.to_thread(verifier.report)

    async def _verify(self, verifier: Verifier, head: Head) -> None:
        last = Head(head.shard, 0, self.ledger.origin.genesis(head.shard))
        while page := await self.ledger.chain(head, last.seq, PAGE):
            await asyncio.to_thread(_feed, verifier, page)
            last = Head(head.shard, page[-1].record.seq, page[-1].record.hash)
        if last != head:
            text = f"shard {head.shard} ends at record {last.seq}, its head says {head.seq}"
            verifier.found(Finding(Fault.CUT, text, head.shard, last.seq))

    async def export(self, tenants: Sequence[str]) -> AsyncIterator[bytes]:
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


def _feed(verifier: Verifier, page: Sequence[Found]) -> None:
    """Hand over records, and look whether the columns that are searched tell what they say."""
    for found in page:
        record = found.record
        verifier.add(record)
        try:
            same = decide.index_again(found.entry) == found.index
        except (Unreadable, ValueError):
            same = False
        if not same:
            text = f"record {record.seq} of shard {record.shard} is found by what it does not say"
            verifier.found(Finding(Fault.INDEX, text, record.shard, record.seq))


def _shown(found: Found, tenants: Sequence[str]) -> Record:
    record = found.record
    if found.entry.tenant in tenants:
        return record
    return Record(record.shard, record.seq, record.previous, record.hash, None)
