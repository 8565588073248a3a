"""`interlock dead`: messages that a service could not handle."""

from typing import Annotated, Any

import typer

from interlock.cli.connection import Json, request
from interlock.cli.output import print_fields, print_json, print_line, print_table, say
from interlock.cli.suite import SERVICES

app = typer.Typer(help="Dead letters, by service.", no_args_is_help=True)
Service = Annotated[str, typer.Argument(help="The service that parked it.")]
Letter = Annotated[str, typer.Argument(help="The letter's id.")]
COLUMNS = ("service", "id", "type", "subject", "code", "attempts", "parked_at", "reason")


@app.command("list")
def list_letters(
    context: typer.Context,
    service: Annotated[str | None, typer.Argument(help="Only of this service.")] = None,
    as_json: Json = False,
) -> None:
    """All dead letters, oldest first."""
    found: list[dict[str, Any]] = []
    for name in [service] if service else SERVICES:
        letters = request(context, "GET", f"/{name}/v1/dead")["letters"]
        found += [{"service": name, **letter} for letter in letters]
    if as_json:
        print_json(found)
        return
    print_table(COLUMNS, [[one.get(column) for column in COLUMNS] for one in found], "none")


@app.command()
def show(context: typer.Context, service: Service, letter: Letter, as_json: Json = False) -> None:
    """One letter with its raw bytes, its error and its history."""
    found = request(context, "GET", f"/{service}/v1/dead/{letter}")
    if as_json:
        print_json(found)
        return
    print_fields(found, [name for name in found if name not in {"body", "traceback"}])
    for name in ("body", "traceback"):
        print_line(f"\n{name}:\n{found[name]}")


@app.command()
def redrive(context: typer.Context, service: Service, letter: Letter) -> None:
    """Give a letter to its service again, under its own id: nothing is executed twice."""
    request(context, "POST", f"/{service}/v1/dead/{letter}/redrive", {})
    say(f"letter `{letter}` is with service `{service}` again")


@app.command()
def drop(context: typer.Context, service: Service, letter: Letter) -> None:
    """Forget a letter; its task, if it is one's, ends at its deadline."""
    request(context, "DELETE", f"/{service}/v1/dead/{letter}")
    say(f"letter `{letter}` is dropped")
