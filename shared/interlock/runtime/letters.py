"""Which dead letters are meant: the filters that every service's door takes, and pages of them."""

from bisect import insort
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from interlock.bus import Letter
from interlock.errors import Refused

MOST = 1000
FILTERS = ("type", "code", "topic", "tenant", "task")
AGES = ("older_than", "newer_than")
Place = tuple[str, str]
"""Where a letter stands among all: when it was parked, its id."""


@dataclass(frozen=True)
class Wanted:
    """All letters of a service but those that a filter excludes."""

    type: str | None = None
    code: str | None = None
    """Of the error that parked it."""
    topic: str | None = None
    """The message's, or the dead letters'."""
    tenant: str | None = None
    task: str | None = None
    parked_before: datetime | None = None
    parked_after: datetime | None = None

    def holds(self, letter: Letter) -> bool:
        """Whether the letter is meant."""
        attributes = letter.raw.attributes
        said = (
            (self.type, attributes.get("ce_type")),
            (self.code, letter.code),
            (self.tenant, attributes.get("ce_tenant")),
            (self.task, attributes.get("ce_subject")),
        )
        return (
            all(wanted in {None, found} for wanted, found in said)
            and self.topic in {None, letter.raw.topic.value, letter.dead_topic}
            and (self.parked_before is None or letter.parked_at <= self.parked_before)
            and (self.parked_after is None or letter.parked_at >= self.parked_after)
        )


def wanted(query: Mapping[str, str], now: datetime) -> Wanted:
    """From a request's query; `older_than` and `newer_than` are seconds."""
    older, newer = (_ago(query, name, now) for name in AGES)
    return Wanted(
        **{name: query[name] for name in FILTERS if name in query},
        parked_before=older,
        parked_after=newer,
    )


def _ago(query: Mapping[str, str], name: str, now: datetime) -> datetime | None:
    given = query.get(name)
    if given is None:
        return None
    try:
        return now - timedelta(seconds=float(given))
    except (ValueError, OverflowError):
        raise Refused(f"`{name}` is a number of seconds, not `{given}`", code="invalid") from None


def limit(query: Mapping[str, str]) -> int:
    """How many letters a page has."""
    given = query.get("limit", "100")
    if not (given.isascii() and given.isdigit() and 1 <= int(given[:9]) <= MOST):
        raise Refused(f"`limit` is a number from 1 to {MOST}", code="invalid")
    return int(given)


@dataclass
class Page:
    """The first letters behind a place, in an order that holds from page to page.

    A transport tells its letters in whatever order; only what the page shows of them is kept.
    """

    limit: int
    after: Place | None
    shown: Callable[[Letter], dict[str, Any]]
    matching: int = 0
    """How many there are behind the place, those on further pages too."""
    _kept: list[tuple[Place, dict[str, Any]]] = field(default_factory=list)

    def add(self, letter: Letter) -> None:
        """One that is meant."""
        place = (letter.parked_at.isoformat(), letter.letter_id)
        if self.after is not None and place <= self.after:
            return
        self.matching += 1
        if len(self._kept) < self.limit or place < self._kept[-1][0]:
            insort(self._kept, (place, self.shown(letter)), key=lambda one: one[0])
            del self._kept[self.limit :]

    def json(self) -> dict[str, Any]:
        """`next` is what `after` is to be for the next page; null on the last one."""
        more = self.matching > len(self._kept)
        return {
            "letters": [shown for _, shown in self._kept],
            "matching": self.matching,
            "next": " ".join(self._kept[-1][0]) if more else None,
        }


def after(query: Mapping[str, str]) -> Place | None:
    """The place that a page's `next` named."""
    given = query.get("after")
    if given is None:
        return None
    at, _, letter_id = given.partition(" ")
    if not letter_id:
        raise Refused("`after` is what the page before says as `next`", code="invalid")
    return at, letter_id
