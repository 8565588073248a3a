"""`interlock up`, `run`, `demo`: the suite itself."""

import gc
import os
from pathlib import Path
from typing import Annotated

import typer

from interlock.cli.connection import Json, Target, answered
from interlock.cli.output import NO, say

SERVICES = ("gateway", "auth", "registry", "policy", "invocation", "audit")
SUITE_URL = "suite.url"
"""File of the data folder: where the suite that runs there is reached, for `run` beside it."""


def add_to(app: typer.Typer) -> None:
    """Hang the commands onto the root."""
    for command in (up, run, demo):
        app.command()(command)


def up(
    context: typer.Context,
    separate: Annotated[
        bool, typer.Option("--separate", help="A process per service, restarted when it dies.")
    ] = False,
    scale: Annotated[
        list[str] | None,
        typer.Option(help="So many processes of a service: `policy=3`; implies `--separate`."),
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
) -> None:
    """Run the whole suite here, until Ctrl-C. Its data are below `.interlock/`."""
    gc.disable()  # it would search imports for a tenth of their time; `run_loop` enables it
    from interlock.runtime import main  # noqa: PLC0415 a second that other commands save
    from interlock.telemetry.logs import configure_logs  # noqa: PLC0415 as above

    given = {"host": host, "port": port, "data": _target(context).data}

    def start() -> None:
        settings = main.settings_from_environment(**given)
        configure_logs(settings.log_level, settings.log_format)

        def started() -> None:
            (settings.data / SUITE_URL).write_text(settings.url + "\n", "utf-8")
            say(f"interlock is up at {settings.url} (MCP: {settings.url}/mcp, docs: /docs)")
            say(f"operator's key: {settings.data / 'operator.key'}")

        if separate or scale:
            from interlock.runtime.supervisor import scaled, supervise  # noqa: PLC0415 as above
            from interlock.runtime.warm import warm  # noqa: PLC0415 as above

            wanted = scaled(scale or ())
            main.run_loop(supervise(settings, started, wanted, warm(settings)))
        else:
            from interlock.runtime.host import named  # noqa: PLC0415 as above

            services = [named(name) for name in SERVICES]
            main.run_loop(main.until_stopped(services, settings, started))

    answered(start)


def run(
    context: typer.Context,
    service: Annotated[str, typer.Argument(help="gateway, auth, registry, policy, …")],
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
) -> None:
    """Run one service here, as its container would; beside a suite on the same data folder, too."""
    gc.disable()  # as above
    from interlock.runtime import main  # noqa: PLC0415 a second that other commands save
    from interlock.runtime.host import named  # noqa: PLC0415 as above

    def start() -> None:
        data = _target(context).data
        main.run(named(service), host=host, port=port, data=data, public_url=_suite_url(data))

    answered(start)


def _suite_url(data: Path) -> str | None:
    """Of the suite on the data folder, unless the environment says: all must name the same."""
    file = data / SUITE_URL
    if "INTERLOCK_PUBLIC_URL" in os.environ or not file.exists():
        return None
    return file.read_text("utf-8").strip()


def demo(
    context: typer.Context,
    as_json: Json = False,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the demo's folder there.")] = False,
) -> None:
    """Show what Interlock does, with real tools: takes less than half a minute."""
    from interlock.demo import run_demo  # noqa: PLC0415 only this command needs it

    if not answered(lambda: run_demo(as_json=as_json, keep=keep)):
        raise typer.Exit(NO)


def _target(context: typer.Context) -> Target:
    chosen = context.obj
    assert isinstance(chosen, Target)
    return chosen
