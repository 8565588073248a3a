"""Client ID Metadata Documents (draft-ietf-oauth-client-id-metadata-document), kept for a while."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from interlock.errors import Refused
from services.auth import decide
from services.auth.clients import Discovery

FRESH = timedelta(minutes=5)
AGAIN = timedelta(seconds=10)
"""No document is fetched more often, whoever asks."""
KEPT = 1000


@dataclass(frozen=True)
class Documents:
    """The keys of clients that are known by a URL, as their documents say."""

    discovery: Discovery
    now: Callable[[], datetime]
    _known: dict[str, tuple[datetime, str | Refused]] = field(default_factory=dict)

    async def keys(self, url: str, *, again: bool = False) -> str:
        """A JWK Set as JSON text, `again` if what is known did not do; `Refused` says why not."""
        fetched_at, found = self._known.get(url, (None, ""))
        if fetched_at is None or self.now() - fetched_at > (AGAIN if again else FRESH):
            found = await self._fetch(url)
            if len(self._known) >= KEPT:
                self._known.clear()
            self._known[url] = (self.now(), found)
        if isinstance(found, Refused):
            raise Refused(found.detail, code=found.code)
        return found

    async def _fetch(self, url: str) -> str | Refused:
        try:
            document = await self.discovery.client(url)
            decide.require_client_document(document, url)
            return await self.discovery.client_keys(document)
        except Refused as error:
            return error
