"""`interlock up`, `run`, `demo`, `status`: the suite itself."""

from typing import Annotated, Any

import typer

from interlock.cli.connection import Json, Target, answered
from interlock.cli.output import CANNOT, NO, print_json, print_table, say
from interlock.errors import InterlockError

SERVICES = ("gateway", "auth", "registry", "policy", "invocation", "audit")


def add_to(app: typer.Typer) -> None:
    """Hang the commands onto the root."""
    for command in (up, run, demo, status):
        app.command()(command)


def up(
    context: typer.Context,
    separate: Annotated[
        bool, typer.Option("--separate", help="A process per service, restarted when it dies.")
    ] = False,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
) -> None:
    """Run the whole suite here, until Ctrl-C. Its data are below `.interlock/`."""
    from interlock.runtime import main  # noqa: PLC0415 a second that other commands save
    from interlock.telemetry.logs import configure_logs  # noqa: PLC0415 as above

    given = {"host": host, "port": port, "data": _target(context).data}

    def start() -> None:
        settings = main.settings_from_environment(**given)
        configure_logs(settings.log_level, settings.log_format)

        def started() -> None:
            say(f"interlock is up at {settings.url} (MCP: {settings.url}/mcp, docs: /docs)")
            say(f"operator's key: {settings.data / 'operator.key'}")

        if separate:
            from interlock.runtime.supervisor import supervise  # noqa: PLC0415 as above

            main.run_loop(supervise(settings, started))
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
    """Run one service here, as its container would."""
    from interlock.runtime import main  # noqa: PLC0415 a second that other commands save
    from interlock.runtime.host import named  # noqa: PLC0415 as above

    def start() -> None:
        main.run(named(service), host=host, port=port, data=_target(context).data)

    answered(start)


def demo(
    context: typer.Context,
    as_json: Json = False,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the demo's folder there.")] = False,
) -> None:
    """Show what Interlock does, with real tools: takes less than half a minute."""
    from interlock.demo import run_demo  # noqa: PLC0415 only this command needs it

    if not answered(lambda: run_demo(as_json=as_json, keep=keep)):
        raise typer.Exit(NO)


def status(context: typer.Context, as_json: Json = False) -> None:
    """Each service: up, backlog, age of the oldest, in flight, dead letters."""
    found = [_status(context, name) for name in SERVICES]
    if as_json:
        print_json(found)
    else:
        columns = ("service", "state", "waiting", "oldest (s)", "in flight", "dead", "why")
        print_table(columns, [_row(one) for one in found], "no services")
    if all(one["state"] == "away" for one in found):
        say(f"nothing answers at {_target(context).url}; start it with `interlock up`")
        raise typer.Exit(CANNOT)
    if any(one["state"] != "ready" for one in found):
        raise typer.Exit(NO)


def _status(context: typer.Context, name: str) -> dict[str, Any]:
    import asyncio  # noqa: PLC0415 only this command needs it

    from interlock.sdk import Interlock  # noqa: PLC0415 half a second that `--help` saves

    async def ask() -> dict[str, Any]:
        chosen = _target(context)
        async with Interlock(chosen.url, chosen.credential()) as client:
            told: dict[str, Any] = await client.request("GET", f"/{name}/v1/status")
            return {"state": "ready" if told["ready"] else "not ready", **told}

    try:
        return asyncio.run(ask())
    except InterlockError as error:
        state = "away" if error.code in {"unreachable", "unavailable", "http"} else "refused"
        return {"service": name, "state": state, "reasons": [error.detail]}


def _row(one: dict[str, Any]) -> list[Any]:
    names = ("service", "state", "waiting", "oldest_seconds", "in_flight", "dead", "reasons")
    return [one.get(name) for name in names]


def _target(context: typer.Context) -> Target:
    chosen = context.obj
    assert isinstance(chosen, Target)
    return chosen
