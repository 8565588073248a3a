"""`interlock audit`: what happened, and the proof that nobody edited it since."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlencode

import typer

from interlock.cli.connection import Json, Target, answered, ask, request
from interlock.cli.output import CANNOT, NO, print_fields, print_json, print_line, print_table, say
from interlock.cli.words import words

if TYPE_CHECKING:
    from interlock.ledger import Report
    from interlock.sdk import Interlock

app = typer.Typer(help="The ledger of everything that happened.", no_args_is_help=True)
COLUMNS = ("arrived_at", "source", "type", "agent", "server", "tool", "task", "outcome")


@app.command("list")
def list_records(  # noqa: PLR0913 one option for each filter
    context: typer.Context,
    *,
    task: Annotated[str | None, typer.Option(help="Only of this task.")] = None,
    agent: Annotated[str | None, typer.Option(help="Only of this agent.")] = None,
    server: Annotated[str | None, typer.Option(help="Only of this server.")] = None,
    tool: Annotated[str | None, typer.Option(help="Only of this tool.")] = None,
    since: Annotated[str | None, typer.Option(help="Not before (ISO 8601).")] = None,
    until: Annotated[str | None, typer.Option(help="Before (ISO 8601).")] = None,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1, max=1000)] = 50,
    as_json: Json = False,
) -> None:
    """Records that match, newest first."""
    wanted = {
        "task": task,
        "agent": agent,
        "server": server,
        "tool": tool,
        "since": since,
        "until": until,
        "limit": limit,
    }
    query = urlencode({name: value for name, value in wanted.items() if value is not None})
    found = request(context, "GET", f"/audit/v1/records?{query}")["records"]
    if as_json:
        print_json(found)
    else:
        print_table(COLUMNS, [[one[name] for name in COLUMNS] for one in found], "no record")


@app.command()
def show(
    context: typer.Context,
    task: Annotated[str, typer.Argument(help="The task's id.")],
    as_json: Json = False,
) -> None:
    """What happened to a task, step by step, each step after its cause."""
    found = request(context, "GET", f"/audit/v1/tasks/{task}")
    if as_json:
        print_json(found)
        return
    records = found["records"]
    print_fields(_about(records))
    for record in records:
        print_line(_step(record))


@app.command()
def export(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="Where to, such as `ledger.jsonl.gz`.")],
) -> None:
    """Fetch the ledger as a file, for `verify` and for keeping."""

    async def work(client: "Interlock") -> int:
        written = 0
        with file.open("wb") as out:
            async for chunk in client.download("/audit/v1/export"):
                written += out.write(chunk)
        return written

    try:
        written = ask(context, work)
    except OSError as error:
        say(f"interlock: cannot write `{file}`: {(error.strerror or str(error)).lower()}")
        raise typer.Exit(CANNOT) from None
    say(f"`{file}`: {written} bytes; `interlock audit verify {file}` verifies it")


@app.command()
def verify(  # noqa: PLR0913 one option for each place
    context: typer.Context,
    *,
    export: Annotated[
        Path | None, typer.Argument(help="An export; the data folder's ledger without it.")
    ] = None,
    anchor: Annotated[
        Path | None,
        typer.Option(help="Folder of checkpoints; of the data folder's ledger `<data>/anchor`."),
    ] = None,
    no_anchor: Annotated[
        bool, typer.Option("--no-anchor", help="Leave the data folder's anchor out.")
    ] = False,
    keys: Annotated[
        Path | None, typer.Option(help="Folder of `ledger.pub.json`; `<data>/keys` without it.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Verify a ledger here, offline: edits, gaps, cuts, causes and ends. Exit code 1: it fails."""
    target: Target = context.obj
    folder = keys or target.data / "keys"
    if anchor is None and export is None and not no_anchor:
        anchor = target.data / "anchor"

    def work() -> "Report":
        from interlock.cli import ledger  # noqa: PLC0415 cryptography, which few commands need

        if export is not None:
            return ledger.verify_file(export, folder, anchor)
        return ledger.verify_database(target.data, folder, anchor)

    report = answered(work)
    if as_json:
        print_json(report.as_data())
    else:
        print_line(report.text())
    if not report.ok:
        raise typer.Exit(NO)


def _about(records: list[dict[str, Any]]) -> dict[str, Any]:
    """What all records of a task agree on."""
    first = records[0]
    names = ("task", "tenant", "kind", "agent", "user", "server", "tool")
    about = {name: next((r[name] for r in records if r.get(name)), None) for name in names}
    said = first["body"] if isinstance(first["body"], dict) else {}
    return about | {"arguments": said.get("arguments"), "deadline": said.get("deadline")}


def _step(record: dict[str, Any]) -> str:
    at = datetime.fromisoformat(record["stated_at"] or record["arrived_at"])
    what = record["type"].removeprefix("interlock.").rpartition(".")[0] or record["type"]
    body = record["body"] if isinstance(record["body"], dict) else {}
    said = words(body)
    if record.get("fault"):
        said = f"NOT BELIEVED ({record['fault']}): {record['reason']}"
    start = f"{at.astimezone():%H:%M:%S.%f}"[:-3]
    return f"{start}  {record['source']:<10}  {what:<18}  {said}".rstrip()
