"""`interlock server`: the catalogue."""

from typing import Annotated, Any

import typer

from interlock.cli.connection import Json, request, seconds
from interlock.cli.logins import login, logout
from interlock.cli.output import NO, print_fields, print_json, print_table, say

app = typer.Typer(help="The catalogue of upstream servers.", no_args_is_help=True)
app.command()(login)
app.command()(logout)
Name = Annotated[str, typer.Argument(help="The server's name.")]
Tool = Annotated[str, typer.Argument(help="The tool's name.")]
COLUMNS = ("name", "lifecycle", "environment", "risk", "owner_team", "tools")
FEATURES = ("resources", "templates", "prompts")
WAIT = 20


@app.command()
def add(  # noqa: PLR0913 one option for each field of a server
    context: typer.Context,
    name: Name,
    *,
    capability: Annotated[str, typer.Option(help="What business capability it offers.")],
    owner_team: Annotated[str, typer.Option(help="The team that owns it.")],
    technical_owner: Annotated[str, typer.Option(help="The person to ask.")],
    url: Annotated[str | None, typer.Option(help="Its MCP endpoint, if it speaks HTTP.")] = None,
    command: Annotated[
        str | None, typer.Option(help="Name of a stdio command of the operator's settings.")
    ] = None,
    environment: Annotated[str, typer.Option(help="development or production.")] = "development",
    required_scope: Annotated[list[str] | None, typer.Option(help="May be repeated.")] = None,
    risk: Annotated[str, typer.Option(help="low, medium or high.")] = "medium",
    data_class: Annotated[
        str, typer.Option(help="public, internal, confidential or restricted.")
    ] = "internal",
    description: Annotated[str, typer.Option(help="What it is for.")] = "",
    tag: Annotated[list[str] | None, typer.Option(help="May be repeated.")] = None,
    as_json: Json = False,
) -> None:
    """Register a server as a draft, and ask it for its tools."""
    if (url is None) == (command is None):
        raise typer.BadParameter("give either `--url` or `--command`")
    connection = (
        {"transport": "streamable-http", "url": url}
        if url
        else {"transport": "stdio", "command": command}
    )
    body = {
        "name": name,
        "capability": capability,
        "owner_team": owner_team,
        "technical_owner": technical_owner,
        "environment": environment,
        "connection": connection,
        "required_scopes": required_scope or [],
        "risk": risk,
        "data_class": data_class,
        "description": description,
        "tags": tag or [],
    }
    _inspected(request(context, "POST", "/registry/v1/servers", body, WAIT), as_json)


@app.command("list")
def list_servers(
    context: typer.Context,
    lifecycle: Annotated[str | None, typer.Option(help="Only in this state.")] = None,
    as_json: Json = False,
) -> None:
    """All servers of the tenant."""
    path = "/registry/v1/servers" + (f"?lifecycle={lifecycle}" if lifecycle else "")
    found = request(context, "GET", path)["servers"]
    if as_json:
        print_json(found)
        return
    rows = [[one[column] for column in COLUMNS] for one in found]
    print_table(COLUMNS, rows, "no servers yet: `interlock server add`")


@app.command()
def show(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """One server and its tools."""
    _show(request(context, "GET", f"/registry/v1/servers/{name}"), as_json)


@app.command()
def inspect(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """Ask the server for its tools again."""
    _inspected(request(context, "POST", f"/registry/v1/servers/{name}/inspect", {}, WAIT), as_json)


@app.command()
def tool(  # noqa: PLR0913 one option for each setting of a tool
    context: typer.Context,
    name: Name,
    tool: Tool,
    *,
    required_scope: Annotated[
        list[str] | None, typer.Option(help="Beside its server's; may be repeated.")
    ] = None,
    risk: Annotated[str | None, typer.Option(help="low, medium or high.")] = None,
    repeatable: Annotated[
        bool | None,
        typer.Option("--repeatable/--not-repeatable", help="Whether a repeat is safe."),
    ] = None,
    timeout: Annotated[str | None, typer.Option(help="Of one attempt: `30s`, `2m`.")] = None,
    execution: Annotated[
        str | None,
        typer.Option(help="For clients that know tasks: sync, task, task_required, mrtr_first."),
    ] = None,
    inline: Annotated[
        str | None, typer.Option(help="A `sync` call that lasts longer becomes a task: `5s`.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Set what a tool asks for and how it is called; what is left out stays."""
    asked = {
        "required_scopes": required_scope,
        "risk": risk,
        "repeatable": repeatable,
        "timeout_seconds": seconds(timeout) if timeout else None,
        "execution": execution,
        "inline_seconds": seconds(inline) if inline else None,
    }
    body = {"tools": {tool: {field: said for field, said in asked.items() if said is not None}}}
    _show(request(context, "PATCH", f"/registry/v1/servers/{name}", body), as_json)


@app.command()
def accept(
    context: typer.Context,
    name: Name,
    tool: Tool,
    reason: Annotated[str, typer.Option(help="Why; kept in its history.")] = "",
    as_json: Json = False,
) -> None:
    """Believe a tool's definition that changed at the server; until then it is held back."""
    path = f"/registry/v1/servers/{name}/tools/{tool}/accept"
    _show(request(context, "POST", path, {"reason": reason}), as_json)


@app.command()
def move(  # noqa: PLR0913 one option for each field of a move
    context: typer.Context,
    name: Name,
    to: Annotated[str, typer.Argument(help="submitted, security_review, approved_dev, …")],
    *,
    reason: Annotated[str, typer.Option(help="Why; kept in its history.")] = "",
    retire_on: Annotated[
        str | None, typer.Option(help="Date (YYYY-MM-DD); with `deprecated`.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Move a server through its lifecycle. An illegal move names the legal ones."""
    body = {"to": to, "reason": reason, "retire_on": retire_on}
    moved = request(context, "POST", f"/registry/v1/servers/{name}/move", body)
    if as_json:
        print_json(moved)
    else:
        say(f"server `{name}` is `{moved['lifecycle']}` now")


def _inspected(document: dict[str, Any], as_json: bool) -> None:
    _show(document, as_json)
    for warning in document.get("warnings", ()):
        say(f"looks like server `{warning['server']}`: {warning['why']}")
    if document.get("inspect_error") or not document.get("inspected"):
        say(f"its tools are not known yet: {document.get('inspect_error') or 'no answer so far'}")
        raise typer.Exit(NO)


def _show(document: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(document)
        return
    hidden = {"tools", "pending_tools", "warnings", "inspect_task", "revision", "inspected"}
    hidden |= {*FEATURES}
    print_fields(document, [name for name in document if name not in hidden])
    columns = ("tool", "repeatable", "answered", "required scopes", "state")
    rows = [
        [tool["name"], tool["repeatable"], tool["execution"], tool["required_scopes"], state]
        for key, state in (("tools", "offered"), ("pending_tools", "waits for review"))
        for tool in document.get(key, ())
    ]
    print_table(columns, rows, "no tools")
    features = [[one["name"], kind] for kind in FEATURES for one in document.get(kind, ())]
    if features:
        print_table(("name", "offered as"), features, "")
