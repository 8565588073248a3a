"""What MCP lists, in pages: the JSON text of each thing is made once, for all who may see it.

A cursor is the last name that was shown, so it means the same everywhere.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import orjson

from interlock.contracts.ids import QUALIFIER
from interlock.identity.tokens import Caller
from services.gateway.decide import uris
from services.gateway.handlers.shelves import Shelf, Shelves
from services.gateway.handlers.visible import Visible
from services.gateway.model import Front, Listed, Offer

TOOLS = "tools/list"
SHELVES: Mapping[str, tuple[Shelf, str, str]] = {
    "resources/list": (Shelf.RESOURCES, "resources", "uri"),
    "resources/templates/list": (Shelf.TEMPLATES, "resourceTemplates", "uriTemplate"),
    "prompts/list": (Shelf.PROMPTS, "prompts", "name"),
}
"""By method: the shelf, and what MCP calls it and what names one on it."""
METHODS = frozenset({TOOLS, *SHELVES})
PAGE_BYTES = 900_000
"""From there on a page ends: clients of the SDK take 1 MiB at once on a stream, and that is how
those of 2025-11-25 may get it."""
FRESH_MS = 5_000
"""How long a client may take a list for the newest."""
KEPT, ENTRIES_KEPT = 4096, 50_000


class _Entry(NamedTuple):
    """A thing on a list."""

    name: str
    key: str
    """What MCP calls the name."""
    definition: str
    digest: str
    """Of the definition."""

    @property
    def identity(self) -> tuple[str, str, str]:
        """Equal where the texts are."""
        return self.name, self.key, self.digest


class _Listing(NamedTuple):
    """A list as one caller sees it on one route."""

    whole: Sequence[Any]
    """What it was made of; not that any more, it is made anew."""
    names: Sequence[str]
    texts: Sequence[bytes]


class Page(NamedTuple):
    """Part of a list, in the order of its names."""

    member: str
    """What the result calls them."""
    texts: Sequence[bytes]
    more: str | None
    """Where the next page begins, if any."""

    def result(self, *, modern: bool) -> bytes:
        """MCP's result, which depends on the caller."""
        told = b'{"%b":[%b]' % (self.member.encode(), b",".join(self.texts))
        if self.more is not None:
            told += b',"nextCursor":%b' % orjson.dumps(self.more)
        if modern:
            told += b',"resultType":"complete","ttlMs":%d,"cacheScope":"private"' % FRESH_MS
        return told + b"}"


class Lists:
    """All lists of this replica's callers."""

    def __init__(self, visible: Visible, shelves: Shelves, page: int) -> None:
        """`page`: how many are on one at the most."""
        self._visible = visible
        self._shelves = shelves
        self._page = page
        self._listings: dict[tuple[Any, ...], _Listing] = {}
        self._texts: dict[tuple[str, str, str], bytes] = {}

    def page(self, caller: Caller, front: Front, method: str, cursor: str | None) -> Page:
        """What the caller may use, or ask for."""
        listing = self._listing(caller, front, method)
        at = 0 if cursor is None else bisect_right(listing.names, cursor)
        end = at + self._fitting(listing.texts[at : at + self._page])
        member = "tools" if method == TOOLS else SHELVES[method][1]
        more = listing.names[end - 1] if end < len(listing.names) else None
        return Page(member, listing.texts[at:end], more)

    def _listing(self, caller: Caller, front: Front, method: str) -> _Listing:
        tools = method == TOOLS
        see, shelf = self._visible, None if tools else SHELVES[method][0]
        whole = see.of(caller) if shelf is None else self._shelves.of(caller, shelf)
        key = (method, front, caller.principal, caller.roles, caller.groups, caller.token_scopes)
        found = self._listings.get(key)
        if found is not None and found.whole is whole:
            return found
        if shelf is None:
            entries = [_tool(one, front) for one in see.of(caller, front)]
        else:
            entries = [_on(shelf, one, front) for one in self._shelves.of(caller, shelf, front)]
        if len(self._listings) >= KEPT:
            self._listings.clear()
        made = self._listings[key] = self._made(whole, entries)
        return made

    def _made(self, whole: Sequence[Any], entries: Iterable[_Entry]) -> _Listing:
        ordered = sorted(entries, key=lambda one: one.name)
        return _Listing(whole, [one.name for one in ordered], [self._text(one) for one in ordered])

    @staticmethod
    def _fitting(texts: Sequence[bytes]) -> int:
        """How many of them a page takes; of what is there one at the least."""
        sizes = [*accumulate(map(len, texts))]
        return max(bisect_right(sizes, PAGE_BYTES), min(1, len(texts)))

    def _text(self, one: _Entry) -> bytes:
        """The definition as the upstream has it, fields unknown to us too, under its name here."""
        found = self._texts.get(one.identity)
        if found is None:
            if len(self._texts) >= ENTRIES_KEPT:
                self._texts.clear()
            found = orjson.dumps({**orjson.loads(one.definition), one.key: one.name})
            self._texts[one.identity] = found
        return found


def _tool(offer: Offer, front: Front) -> _Entry:
    name = offer.tool.name if front.server is not None else offer.qualified
    return _Entry(name, "name", offer.tool.definition, offer.tool.digest)


def _on(shelf: Shelf, one: Listed, front: Front) -> _Entry:
    record, key = one.record, next(key for at, _, key in SHELVES.values() if at is shelf)
    if front.server is not None:
        name = record.name
    elif shelf is Shelf.PROMPTS:
        name = f"{one.server.name}{QUALIFIER}{record.name}"
    else:
        name = uris.qualified(one.server.name, record.name)
    return _Entry(name, key, record.definition, record.digest)
