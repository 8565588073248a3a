"""`interlock audit`: what happened, and the proof that nobody edited it since."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlencode

import typer

from interlock.cli.connection import Json, answered, ask, request
from interlock.cli.output import CANNOT, NO, print_fields, print_json, print_line, print_table, say
from interlock.errors import Refused

if TYPE_CHECKING:
    from interlock.identity.statements import Trust
    from interlock.ledger import FolderAnchor, Report
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
    database: Annotated[
        str | None, typer.Option(help="URL of the ledger's database, such as PostgreSQL's.")
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
    data: Path = context.obj.data
    if export is None and anchor is None and not no_anchor:
        anchor = data / "anchor"
    place = export or database or data / "audit.db"
    report = answered(lambda: _verified(place, keys or data / "keys", anchor))
    if as_json:
        print_json(report.as_data())
    else:
        print_line(report.text())
    if not report.ok:
        raise typer.Exit(NO)


def _verified(place: Path | str, keys: Path, anchor: Path | None) -> "Report":
    """Of an export, of a database by its URL, or of an SQLite file."""
    from interlock.identity.keys import load_trust  # noqa: PLC0415 few commands need cryptography
    from interlock.ledger import SIGNER, FolderAnchor, verify_export  # noqa: PLC0415 as above

    trust = load_trust(keys)
    if not any(service == SIGNER for service, _ in trust.keys):
        raise Refused(
            f"there is no `{SIGNER}.pub.json` in `{keys}`, the key that proves checkpoints: name "
            "its folder with `--keys`"
        )
    if anchor is not None and not anchor.is_dir():
        raise Refused(f"there is no anchor at `{anchor}`: it is a folder of checkpoints")
    kept = None if anchor is None else FolderAnchor(anchor)
    if isinstance(place, Path) and place.suffix != ".db":
        return verify_export(place, trust, kept)
    if isinstance(place, Path) and not place.is_file():
        raise Refused(
            f"there is no ledger at `{place}`: name an export, a data folder (`interlock --data`), "
            "or a database (`--database`)"
        )
    url = place if isinstance(place, str) else f"sqlite:///{place.absolute()}"
    return asyncio.run(_of_database(url, trust, kept))


async def _of_database(url: str, trust: "Trust", anchor: "FolderAnchor | None") -> "Report":
    from interlock.ledger.database import verify_database  # noqa: PLC0415 few commands need SQL
    from interlock.storage import Database  # noqa: PLC0415 as above

    database = Database(url, schema="audit")
    try:
        now = datetime.now(UTC)  # noqa: TID251 the edge of this process
        return await verify_database(database, trust, anchor, now)
    finally:
        await database.close()


def _about(records: list[dict[str, Any]]) -> dict[str, Any]:
    """What all records of a task agree on."""
    first = records[0]
    names = ("task", "tenant", "kind", "agent", "user", "server", "tool")
    about = {name: next((r[name] for r in records if r.get(name)), None) for name in names}
    said = first["body"] if isinstance(first["body"], dict) else {}
    return about | {"arguments": said.get("arguments"), "deadline": said.get("deadline")}


def _step(record: dict[str, Any]) -> str:
    from interlock.sdk.words import words  # noqa: PLC0415 half a second that `--help` saves

    at = datetime.fromisoformat(record["stated_at"] or record["arrived_at"])
    what = record["type"].removeprefix("interlock.").rpartition(".")[0] or record["type"]
    body = record["body"] if isinstance(record["body"], dict) else {}
    said = words(body)
    if record.get("fault"):
        said = f"NOT BELIEVED ({record['fault']}): {record['reason']}"
    start = f"{at.astimezone():%H:%M:%S.%f}"[:-3]
    return f"{start}  {record['source']:<10}  {what:<18}  {said}".rstrip()
