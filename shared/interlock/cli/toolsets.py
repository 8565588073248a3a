"""`interlock toolset`: curated sets of tools, each offered as if it were one server."""

from typing import Annotated, Any

import typer

from interlock.cli.connection import Json, request
from interlock.cli.output import print_json, print_table, say

app = typer.Typer(help="Curated sets of tools.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="The toolset's name.")]
PATH = "/registry/v1/toolsets"


@app.command()
def create(
    context: typer.Context,
    name: Name,
    tool: Annotated[list[str], typer.Argument(help="Its tools, as `server__tool`.")],
    description: Annotated[str, typer.Option(help="What it is for.")] = "",
    as_json: Json = False,
) -> None:
    """Create a toolset, at `/toolsets/NAME/mcp`."""
    body = {"name": name, "description": description, "tools": [_named(one) for one in tool]}
    _show(request(context, "POST", PATH, body), as_json)


@app.command("list")
def list_toolsets(context: typer.Context, as_json: Json = False) -> None:
    """All toolsets of the tenant."""
    found = request(context, "GET", PATH)["toolsets"]
    if as_json:
        print_json(found)
        return
    rows = [[one["name"], len(one["tools"]), one["description"]] for one in found]
    print_table(("name", "tools", "description"), rows, "no toolsets yet")


@app.command()
def show(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """One toolset and its tools."""
    _show(request(context, "GET", f"{PATH}/{name}"), as_json)


@app.command()
def delete(context: typer.Context, name: Name) -> None:
    """Offer a toolset no longer; its tools stay where they are."""
    request(context, "DELETE", f"{PATH}/{name}")
    say(f"toolset `{name}` is offered no longer")


def _named(tool: str) -> dict[str, str]:
    from interlock.contracts.ids import QUALIFIER  # noqa: PLC0415 models that other commands save

    server, found, name = tool.partition(QUALIFIER)
    if not found:
        raise typer.BadParameter(f"`{tool}` is no tool; write `server{QUALIFIER}tool`")
    return {"server": server, "tool": name}


def _show(toolset: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(toolset)
        return
    say(f"toolset `{toolset['name']}` is offered at `{toolset['url']}`")
    rows = [[one["server"], one["tool"]] for one in toolset["tools"]]
    print_table(("server", "tool"), rows, "no tools")
