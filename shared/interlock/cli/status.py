"""`interlock status`: how each service is, once or again and again."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any

import typer

from interlock.cli.connection import Json, Target, answered, seconds
from interlock.cli.output import CANNOT, NO, print_json, print_line, print_table, say, table
from interlock.cli.suite import SERVICES
from interlock.errors import InterlockError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interlock.sdk import Interlock

COLUMNS = (
    *("service", "state", "replicas", "waiting", "oldest (s)", "in flight", "dead", "rate (/s)"),
    "why",
)
UNREACHABLE = frozenset({"unreachable", "unavailable", "http"})
READY = "ready"


def add_to(app: typer.Typer) -> None:
    """Hang the command onto the root."""
    app.command()(status)


def status(
    context: typer.Context,
    *,
    watch: Annotated[bool, typer.Option("--watch", help="Look again and again.")] = False,
    every: Annotated[str, typer.Option(help="Between two looks: 2s, 1m.")] = "2s",
    looks: Annotated[int, typer.Option(min=0, help="Stop after so many; 0: never.")] = 0,
    as_json: Json = False,
) -> None:
    """Each service: its processes, backlog, age of the oldest, in flight, dead letters, rate."""
    chosen: Target = context.obj
    if watch:
        answered(lambda: asyncio.run(_watch(chosen, seconds(every), looks, as_json)))
        return
    found = answered(lambda: asyncio.run(_once(chosen)))
    if as_json:
        print_json(found)
    else:
        print_table(COLUMNS, _rows(found), "no services")
    if all(one["state"] == "away" for one in found):
        say(f"nothing answers at {chosen.url}; start it with `interlock up`")
        raise typer.Exit(CANNOT)
    if any(one["state"] != READY for one in found):
        raise typer.Exit(NO)


async def _once(chosen: Target) -> list[dict[str, Any]]:
    from interlock.sdk import Interlock  # noqa: PLC0415 half a second that `--help` saves

    async with Interlock(chosen.url, chosen.credential()) as client:
        return (await Looking(client).look()).services


async def _watch(chosen: Target, every: float, looks: int, as_json: bool) -> None:
    from interlock.sdk import Interlock  # noqa: PLC0415 as above

    async with Interlock(chosen.url, chosen.credential()) as client:
        with _shown(as_json) as show:
            async for look in _looks(Looking(client), every, looks):
                show(look)


async def _looks(looking: "Looking", every: float, looks: int) -> "AsyncIterator[Look]":
    made = 0
    while True:
        yield await looking.look()
        made += 1
        if made == looks:
            return
        await asyncio.sleep(every)


@dataclass(frozen=True)
class Look:
    """All services at one moment."""

    at: datetime
    services: list[dict[str, Any]]


class Looking:
    """Looks at all services; what was seen last time tells how fast they work."""

    def __init__(self, client: "Interlock") -> None:
        self._client = client
        self._handled: dict[str, Mapping[str, int]] = {}
        self._looked: dict[str, float] = {}

    async def look(self) -> Look:
        """One look. A rate is known from the second one on."""
        found = await asyncio.gather(*map(self._status, SERVICES))
        return Look(datetime.now(UTC), found)  # noqa: TID251 a command is an edge

    async def _status(self, name: str) -> dict[str, Any]:
        try:
            told: dict[str, Any] = await self._client.request("GET", f"/{name}/v1/status")
        except InterlockError as error:
            self._looked.pop(name, None)
            state = "away" if error.code in UNREACHABLE else "refused"
            return {"service": name, "state": state, "reasons": [error.detail]}
        return {"state": state_of(told), "rate": self._rate(name, told), **told}

    def _rate(self, name: str, told: Mapping[str, Any]) -> float | None:
        """Work done a second since the last look, by all processes together.

        One that came meanwhile has done all of its work since; what one did that is gone is lost.
        """
        before, now = self._handled.get(name, {}), monotonic()
        since = self._looked.get(name)
        handled = {one["id"]: int(one["handled"]) for one in told["replicas"]}
        self._handled[name], self._looked[name] = handled, now
        if since is None or now <= since:
            return None
        done = sum(count - before.get(one, 0) for one, count in handled.items())
        return done / (now - since)


def state_of(told: Mapping[str, Any]) -> str:
    """In one or two words, from what its processes say of themselves."""
    ready = [bool(one["ready"]) for one in told["replicas"]] or [bool(told["ready"])]
    if all(ready):
        return READY
    return "partly ready" if any(ready) else "not ready"


def _rows(found: Sequence[Mapping[str, Any]]) -> list[list[Any]]:
    names = ("waiting", "oldest_seconds", "in_flight", "dead", "rate")
    return [
        [one["service"], one["state"], _replicas(one), *map(one.get, names), _why(one)]
        for one in found
    ]


def _replicas(one: Mapping[str, Any]) -> str | None:
    """Ready, of those that are up."""
    there = one.get("replicas")
    if there is None:
        return None
    return f"{sum(bool(replica['ready']) for replica in there)}/{len(there)}"


def _why(one: Mapping[str, Any]) -> list[str]:
    others = [reason for replica in one.get("replicas", ()) for reason in replica["reasons"]]
    return list(dict.fromkeys([*one["reasons"], *others]))


@contextmanager
def _shown(as_json: bool) -> "Iterator[Callable[[Look], None]]":
    """How a look is shown: in place on a terminal; else each after the last, at once."""
    if as_json:
        yield lambda look: print_line(
            json.dumps({"at": look.at.isoformat(), "services": look.services})
        )
    elif not sys.stdout.isatty():
        yield _print_look
    else:
        from rich.live import Live  # noqa: PLC0415 100 ms that a pipe need not wait

        with Live(auto_refresh=False) as live:
            yield lambda look: live.update(table(COLUMNS, _rows(look.services)), refresh=True)


def _print_look(look: Look) -> None:
    print_line(look.at.isoformat(timespec="seconds"))
    print_table(COLUMNS, _rows(look.services), "no services")
    print_line("")
