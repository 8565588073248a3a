"""`interlock bus`: topics and groups on whatever transport, against the topology."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from interlock.cli.connection import Json, answered
from interlock.cli.output import NO, print_json, print_table, say

if TYPE_CHECKING:
    from interlock.bus import Change
    from interlock.runtime.settings import SuiteSettings

app = typer.Typer(
    help="The bus's topics and groups against the topology; no service need run.",
    no_args_is_help=True,
)
BusUrl = Annotated[
    str | None, typer.Option("--bus-url", help="The bus [INTERLOCK_BUS_URL, else the data folder].")
]
RIGHT = "the bus is as the topology wants it"


@app.command()
def plan(context: typer.Context, bus_url: BusUrl = None, as_json: Json = False) -> None:
    """What `apply` would change, and what it would leave to a person."""
    _show(_planned(context, bus_url), as_json)


@app.command()
def check(context: typer.Context, bus_url: BusUrl = None, as_json: Json = False) -> None:
    """Exit with 1, and the difference, unless the bus is as the topology wants it."""
    changes = _planned(context, bus_url)
    _show(changes, as_json)
    if changes:
        raise typer.Exit(NO)


@app.command()
def apply(context: typer.Context, bus_url: BusUrl = None, as_json: Json = False) -> None:
    """Make every change that loses nothing. Exit with 1 where something is left to a person."""
    from interlock.runtime import topology  # noqa: PLC0415 a second that other commands save

    settings = _settings(context, bus_url)
    made, left = answered(lambda: asyncio.run(topology.apply(settings)))
    if as_json:
        print_json({"made": _plain(made), "left": _plain(left)})
    else:
        _table([*((one, "made") for one in made), *((one, _by_hand(one)) for one in left)])
    if left:
        say(f"`{len(left)}` differences are left to a person, since they could lose messages")
        raise typer.Exit(NO)


def _planned(context: typer.Context, bus_url: str | None) -> "Sequence[Change]":
    from interlock.runtime import topology  # noqa: PLC0415 as above

    settings = _settings(context, bus_url)
    return answered(lambda: asyncio.run(topology.plan(settings)))


def _settings(context: typer.Context, bus_url: str | None) -> "SuiteSettings":
    from interlock.runtime import main  # noqa: PLC0415 as above
    from interlock.telemetry.logs import configure_logs  # noqa: PLC0415 as above

    configure_logs("error", "auto")
    given = {"bus_url": bus_url, "data": context.obj.data}
    return answered(lambda: main.settings_from_environment(**given))


def _show(changes: "Sequence[Change]", as_json: bool) -> None:
    if as_json:
        print_json({"changes": _plain(changes)})
    else:
        _table([(one, "apply" if one.safe else _by_hand(one)) for one in changes])


def _table(rows: "Sequence[tuple[Change, str]]") -> None:
    columns = ("what", "found", "wanted", "how")
    print_table(columns, [(one.what, one.found, one.wanted, how) for one, how in rows], RIGHT)


def _by_hand(one: "Change") -> str:
    return f"by hand: {one.todo}" if one.todo else "by hand: it could lose messages"


def _plain(changes: "Sequence[Change]") -> list[dict[str, Any]]:
    names = ("what", "found", "wanted", "safe", "todo")
    return [{name: getattr(one, name) for name in names} for one in changes]
