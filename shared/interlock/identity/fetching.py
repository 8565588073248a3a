"""A token under a key that its issuer did not publish yet: auth is told to look, and is waited for.

Doors fetch no keys: they hint, and auth publishes what it finds. Strangers may write any key id, so
hints are few, and whoever comes right after one is not kept waiting for another.
"""

import asyncio
import time

from interlock.contracts.access import IssuerRecord
from interlock.errors import Unavailable
from interlock.identity.standing import Unknown
from interlock.state.port import ISSUERS, StateReader

AGAIN_SECONDS = 10.0
"""Between two hints about one issuer."""
PATIENCE = 3.0
"""Seconds that a request waits for new keys."""
GLANCE = 0.05


class UnknownKey(Unknown):
    """The token's key is not among those of its issuer."""

    def __init__(self, record: IssuerRecord) -> None:
        super().__init__(
            "the token is signed with a key that its issuer does not publish", code="invalid_token"
        )
        self.record = record


class Fetching:
    """Hints of one process."""

    def __init__(self, reader: StateReader) -> None:
        self._reader = reader
        self._issuers = reader.view(ISSUERS)
        self._hinted: dict[str, float] = {}
        self._running: dict[str, asyncio.Task[bool]] = {}

    async def fetched(self, record: IssuerRecord) -> bool:
        """Whether the issuer's keys are others now; requests at the same time share one look."""
        running = self._running.get(record.issuer)
        if running is None:
            now = time.monotonic()
            if now - self._hinted.get(record.issuer, -AGAIN_SECONDS) < AGAIN_SECONDS:
                return False
            self._hinted[record.issuer] = now
            running = asyncio.ensure_future(self._fetch(record))
            self._running[record.issuer] = running
            running.add_done_callback(lambda _: self._running.pop(record.issuer, None))
        return await asyncio.shield(running)

    async def _fetch(self, record: IssuerRecord) -> bool:
        try:
            await self._reader.want(ISSUERS, record.tenant, record.issuer)
        except Unavailable:
            return False
        ends = time.monotonic() + PATIENCE
        while time.monotonic() < ends:
            found = self._issuers.get(record.tenant, record.issuer)
            if found is None or found.jwks != record.jwks:
                return True
            await asyncio.sleep(GLANCE)
        return False
