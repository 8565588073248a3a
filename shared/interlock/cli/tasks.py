"""`interlock task`: ask for work, follow it, decide on it."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from interlock.cli.connection import Json, ask, request, seconds
from interlock.cli.output import NO, print_fields, print_json, print_line, print_table, say

if TYPE_CHECKING:
    from interlock.sdk import Event, Interlock, Outcome

app = typer.Typer(help="Tasks: governed requests for work.", no_args_is_help=True)
Id = Annotated[str, typer.Argument(help="The task's id.")]
Reason = Annotated[str, typer.Option(help="Why; recorded.")]
EXAMPLE = """sure='{"action": "accept", "content": {"ok": true}}'"""


@app.command()
def submit(  # noqa: PLR0913 one option for each field of a task
    context: typer.Context,
    server: Annotated[str, typer.Argument(help="The server's name.")],
    tool: Annotated[str, typer.Argument(help="The tool's name.")],
    arguments: Annotated[str, typer.Argument(help="A JSON object.")] = "{}",
    *,
    wait: Annotated[str, typer.Option(help="How long to wait for its end (`0`: not).")] = "30s",
    key: Annotated[str | None, typer.Option(help="Idempotency key.")] = None,
    capabilities: Annotated[
        str, typer.Option(help="What the server may ask for: MCP's ClientCapabilities, JSON.")
    ] = "{}",
    as_json: Json = False,
) -> None:
    """Ask for a call of a tool."""
    parsed = _object(arguments, "the arguments are")
    declared = _object(capabilities, "`--capabilities` is")

    async def work(client: "Interlock") -> "Outcome":
        handle = await client.submit(
            server, tool, parsed, idempotency_key=key, capabilities=declared or None
        )
        return await handle.outcome(seconds(wait))

    _show(ask(context, work), as_json)


@app.command("list")
def list_tasks(
    context: typer.Context,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1, max=200)] = 20,
    as_json: Json = False,
) -> None:
    """Own tasks, the newest first."""
    found = request(context, "GET", f"/v1/tasks?limit={limit}")["tasks"]
    if as_json:
        print_json(found)
        return
    columns = ("id", "state", "server", "tool", "created_at", "code", "reason")
    print_table(columns, [[one.get(name) for name in columns] for one in found], "no tasks")


@app.command()
def show(context: typer.Context, task: Id, as_json: Json = False) -> None:
    """Where a task stands, or how it ended."""
    _show(ask(context, lambda client: client.task(task).show()), as_json)


@app.command("input")
def give(
    context: typer.Context,
    task: Id,
    responses: Annotated[list[str], typer.Argument(help="KEY=JSON, as `task show` has the keys.")],
    asked_in: Annotated[
        int | None, typer.Option("--round", help="The round that asked, as `task show` has it.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Give an own task what it asks for, all of it or a part."""
    given: dict[str, Any] = {}
    for one in responses:
        key, brace, rest = one.partition("={")
        if not brace or key in given:
            wrong = f"`{key}` is there twice" if key in given else f"`{one}` is no KEY=JSON"
            raise typer.BadParameter(f"{wrong}; write each key once, as in {EXAMPLE}")
        given[key] = _object("{" + rest, f"the response for `{key}` is")
    outcome = ask(context, lambda client: client.task(task).give(given, round=asked_in))
    if as_json:
        print_json(dict(outcome.document))
    elif outcome.requests:
        _show(outcome, as_json)
    else:
        say(f"task `{task}` has its input; `interlock task watch {task}` tells how it goes on")


@app.command()
def watch(context: typer.Context, task: Id, as_json: Json = False) -> None:
    """Follow a task until it ends."""

    async def work(client: "Interlock") -> "Outcome":
        handle = client.task(task)
        async for event in handle.events():
            _print_event(event, as_json)
        return await handle.show()

    outcome = ask(context, work)
    if not outcome.succeeded:
        raise typer.Exit(NO)


@app.command()
def cancel(context: typer.Context, task: Id) -> None:
    """Ask for a task's end."""
    ask(context, lambda client: client.task(task).cancel())
    say(f"cancelling was asked for; `interlock task show {task}` tells how it ends")


@app.command()
def held(context: typer.Context, as_json: Json = False) -> None:
    """Tasks that wait for a person's approval, with the exact arguments that would run."""
    found = request(context, "GET", "/policy/v1/approvals")["approvals"]
    if as_json:
        print_json(found)
        return
    rows = [
        [
            one["task"]["id"],
            one["task"]["principal"]["name"],
            f"{one['task']['server']} {one['task']['tool']}",
            one["arguments"],
            one["expires_at"],
            one["reason"],
        ]
        for one in found
    ]
    print_table(("task", "who", "call", "arguments", "until", "why"), rows, "nothing is held")


@app.command()
def approve(context: typer.Context, task: Id, reason: Reason = "", as_json: Json = False) -> None:
    """Let a held task run. Nobody approves an own request."""
    _decide(context, task, "approve", reason, as_json)


@app.command()
def refuse(context: typer.Context, task: Id, reason: Reason = "", as_json: Json = False) -> None:
    """Deny a held task."""
    _decide(context, task, "refuse", reason, as_json)


@app.command()
def settle(
    context: typer.Context,
    task: Id,
    outcome: Annotated[str, typer.Argument(help="succeeded or failed")],
    reason: Reason = "",
    as_json: Json = False,
) -> None:
    """Say how a task of unknown outcome really ended."""
    body = {"outcome": outcome, "reason": reason}
    told = request(context, "POST", f"/invocation/v1/tasks/{task}/settle", body)
    if as_json:
        print_json(told)
    else:
        say(f"task `{task}` is settled: {outcome}")


def _decide(context: typer.Context, task: str, answer: str, reason: str, as_json: bool) -> None:
    path = f"/policy/v1/tasks/{task}/{answer}"
    told = request(context, "POST", path, {"reason": reason})
    if as_json:
        print_json(told)
    else:
        say(f"task `{task}`: {told.get('state', answer)}")


def _show(outcome: "Outcome", as_json: bool) -> None:
    if as_json:
        print_json(dict(outcome.document))
    else:
        shown: dict[str, Any] = dict(outcome.document)
        for told_below in ("result", "requests"):
            shown.pop(told_below, None)
        print_fields(shown)
        _print_asked(outcome)
        if outcome.result is not None:
            print_line(outcome.text or json.dumps(outcome.result, ensure_ascii=False, indent=2))
    if outcome.state.final and not outcome.succeeded:
        raise typer.Exit(NO)


def _print_asked(outcome: "Outcome") -> None:
    """What it waits for from whoever asked for it, each with its key."""
    if not outcome.requests:
        return
    print_line("\nasks for")
    print_fields(outcome.requests)
    say(f"give it: `interlock task input {outcome.id} --round {outcome.round} KEY=JSON …`")
    say(f"as in {EXAMPLE}")


def _object(text: str, what: str) -> dict[str, Any]:
    try:
        parsed = json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"{what} no JSON: {error}") from None
    if not isinstance(parsed, dict):
        raise typer.BadParameter(f"{what} no JSON object")
    return parsed


def _print_event(event: "Event", as_json: bool) -> None:
    if as_json:
        print_line(json.dumps({"id": event.id, "type": event.type, "data": event.data}))
        return
    from interlock.sdk.words import words  # noqa: PLC0415 half a second that `--help` saves

    at = str(event.data.get("time", ""))[11:23]
    print_line(f"{at}  {event.type:<18}  {words(event.data)}".rstrip())
