"""The `interlock` command. Its modules import what is slow inside the commands that need it."""

from pathlib import Path
from typing import Annotated

import typer

from interlock.cli import (
    access,
    audit,
    bus,
    dead,
    deploy,
    policy,
    servers,
    status,
    suite,
    tasks,
    toolsets,
    users,
)
from interlock.cli.connection import target

app = typer.Typer(
    name="interlock",
    help="The governed path between AI agents and their tools.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
suite.add_to(app)
deploy.add_to(app)
status.add_to(app)
app.add_typer(servers.app, name="server")
app.add_typer(toolsets.app, name="toolset")
app.add_typer(access.agents, name="agent")
app.add_typer(users.users, name="user")
app.add_typer(access.keys, name="key")
app.add_typer(users.tenants, name="tenant")
app.add_typer(tasks.app, name="task")
app.add_typer(policy.app, name="policy")
app.add_typer(audit.app, name="audit")
app.add_typer(bus.app, name="bus")
app.add_typer(dead.app, name="dead")


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version  # noqa: PLC0415 - few commands need it

        typer.echo(version("interlock"))
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    url: Annotated[str | None, typer.Option(help="The suite's URL [INTERLOCK_URL].")] = None,
    token: Annotated[
        str | None, typer.Option(help="API key or access token [INTERLOCK_TOKEN].")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Data folder [INTERLOCK_DATA, .interlock].")
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_version, help="Print the version.")
    ] = False,
) -> None:
    """Options before the command say where the suite is, and as whom to speak to it."""
    context.obj = target(url, token, data)


def run() -> None:
    """The console script."""
    app()
