"""`interlock dead`: messages that a service could not handle."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import Annotated, Any
from urllib.parse import urlencode

import typer

from interlock.cli.connection import Json, request, seconds
from interlock.cli.output import (
    CANNOT,
    NO,
    print_fields,
    print_json,
    print_line,
    print_table,
    say,
)
from interlock.cli.suite import SERVICES

app = typer.Typer(help="Dead letters: messages that a service could not handle.")
COLUMNS = ("service", "id", "type", "subject", "code", "attempts", "parked_at", "reason")
PAGE = 1000
AT_ONCE = 100
"""Letters in one request, and so the steps of the progress bar."""

Letters = Annotated[list[str] | None, typer.Argument(help="Ids of letters.")]
OfService = Annotated[str | None, typer.Option(help="Only of this service.")]
OfType = Annotated[str | None, typer.Option("--type", help="Only of this message type.")]
Code = Annotated[str | None, typer.Option(help="Only with this error: forged, internal, …")]
Topic = Annotated[str | None, typer.Option(help="Only from this topic.")]
Tenant = Annotated[str | None, typer.Option(help="Only of this tenant.")]
TaskId = Annotated[str | None, typer.Option("--task", help="Only of this task.")]
Older = Annotated[str | None, typer.Option(help="Only parked so long ago or longer: 90s, 1h, 2d.")]
Newer = Annotated[str | None, typer.Option(help="Only parked within so long: 90s, 1h, 2d.")]
All = Annotated[bool, typer.Option("--all", help="All that there are.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what would be moved.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@dataclass(frozen=True)
class Chosen:
    """What a command is about: letters by their ids, by filters, or both."""

    service: str | None
    filters: dict[str, str]
    ids: tuple[str, ...] = ()

    @property
    def services(self) -> Sequence[str]:
        return [self.service] if self.service else SERVICES

    def find(self, context: typer.Context) -> list[dict[str, Any]]:
        """All of them, service by service, oldest first."""
        return [
            {"service": service, **letter}
            for service in self.services
            for letter in self._of(context, service)
            if not self.ids or letter["id"] in self.ids
        ]

    def _of(self, context: typer.Context, service: str) -> Iterator[dict[str, Any]]:
        place: str | None = ""
        while place is not None:
            page = self.page(context, service, PAGE, place)
            yield from page["letters"]
            place = page["next"]

    def page(self, context: typer.Context, service: str, limit: int, place: str = "") -> Any:
        query = {**self.filters, "limit": limit, **({"after": place} if place else {})}
        return request(context, "GET", f"/{service}/v1/dead?{urlencode(query)}")


def chosen(  # noqa: PLR0913 one option for each filter
    *,
    service: OfService = None,
    type_: OfType = None,
    code: Code = None,
    topic: Topic = None,
    tenant: Tenant = None,
    task: TaskId = None,
    older_than: Older = None,
    newer_than: Newer = None,
) -> Chosen:
    """What the options of a command mean."""
    filters = {"type": type_, "code": code, "topic": topic, "tenant": tenant, "task": task}
    for name, ago in (("older_than", older_than), ("newer_than", newer_than)):
        filters[name] = None if ago is None else str(seconds(ago))
    return Chosen(service, {name: one for name, one in filters.items() if one is not None})


def filtered(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose `wanted` is said by the options of `chosen`."""
    options = signature(chosen).parameters
    own = [one for one in signature(command).parameters.values() if one.name != "wanted"]

    @wraps(command)
    def run(**given: Any) -> None:
        wanted = chosen(**{name: given.pop(name) for name in options})
        command(wanted=wanted, **given)

    told = Signature(
        [one.replace(kind=Parameter.KEYWORD_ONLY) for one in (*own, *options.values())]
    )
    run.__signature__ = told  # type: ignore[attr-defined]  # what typer reads
    return run


@app.command("list")
@filtered
def list_letters(
    context: typer.Context,
    wanted: Chosen,
    limit: Annotated[int, typer.Option(min=1, max=PAGE, help="Of each service.")] = 100,
    as_json: Json = False,
) -> None:
    """Dead letters, oldest first."""
    found: list[dict[str, Any]] = []
    more = 0
    for service in wanted.services:
        page = wanted.page(context, service, limit)
        found += [{"service": service, **letter} for letter in page["letters"]]
        more += page["matching"] - len(page["letters"])
    _show(found, as_json)
    if more:
        say(f"`{more}` more match; raise `--limit`, or narrow the filters")


@app.command()
def show(
    context: typer.Context,
    service: Annotated[str, typer.Argument(help="The service that parked it.")],
    letter: Annotated[str, typer.Argument(help="The letter's id.")],
    as_json: Json = False,
) -> None:
    """One letter with its raw bytes, its error and its history."""
    found = request(context, "GET", f"/{service}/v1/dead/{letter}")
    if as_json:
        print_json(found)
        return
    print_fields(found, [name for name in found if name not in {"body", "traceback"}])
    for name in ("body", "traceback"):
        print_line(f"\n{name}:\n{found[name]}")


@app.command()
@filtered
def redrive(  # noqa: PLR0913 one option for each way to choose
    context: typer.Context,
    wanted: Chosen,
    *,
    letters: Letters = None,
    everything: All = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Give letters to their service again, under their own ids: nothing is executed twice."""
    wanted = replace(wanted, ids=tuple(letters or ()))
    found = _found(context, wanted, everything)
    if dry_run:
        _show(found, as_json)
    else:
        _report(_move(context, "redrive", found), "redriven", wanted, as_json)


@app.command()
@filtered
def drop(  # noqa: PLR0913 one option for each way to choose
    context: typer.Context,
    wanted: Chosen,
    *,
    letters: Letters = None,
    everything: All = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Forget letters; a task whose request was one ends at its deadline."""
    wanted = replace(wanted, ids=tuple(letters or ()))
    found = _found(context, wanted, everything)
    if dry_run:
        _show(found, as_json)
        return
    if len(found) > 1 and not yes:
        _confirm(f"forget `{len(found)}` letters for good?")
    _report(_move(context, "drop", found), "dropped", wanted, as_json)


def _found(context: typer.Context, wanted: Chosen, everything: bool) -> list[dict[str, Any]]:
    if not (everything or wanted.ids or wanted.filters or wanted.service):
        say("interlock: name letters, give a filter, or say `--all`")
        raise typer.Exit(CANNOT)
    return wanted.find(context)


def _confirm(question: str) -> None:
    if not sys.stdin.isatty():
        say("interlock: nobody can be asked here; look with `--dry-run`, then say `--yes`")
        raise typer.Exit(CANNOT)
    if not typer.confirm(question, err=True):
        raise typer.Exit(NO)


def _move(
    context: typer.Context, how: str, found: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Those that were there; others took the rest meanwhile."""
    moved: set[tuple[str, str]] = set()
    with _progress(f"{how} letters", len(found)) as advance:
        for service in SERVICES:
            ids = [letter["id"] for letter in found if letter["service"] == service]
            for at in range(0, len(ids), AT_ONCE):
                body = {"ids": ids[at : at + AT_ONCE]}
                said = request(context, "POST", f"/{service}/v1/dead/{how}", body)
                done = said["redriven" if how == "redrive" else "dropped"]
                moved |= {(service, one) for one in done}
                advance(len(body["ids"]))
    return [letter for letter in found if (letter["service"], letter["id"]) in moved]


@contextmanager
def _progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on standard error where people look and it takes more than one step."""
    if total <= AT_ONCE or not sys.stderr.isatty():
        yield lambda done: None
        return
    from rich.console import Console  # noqa: PLC0415 100 ms that a pipe need not wait
    from rich.progress import Progress  # noqa: PLC0415 as above

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.advance(task, done)


def _report(moved: Sequence[dict[str, Any]], done: str, wanted: Chosen, as_json: bool) -> None:
    """Exit with 1 where a letter that was named is not there (any more)."""
    there = {letter["id"] for letter in moved}
    gone = [one for one in wanted.ids if one not in there]
    if as_json:
        print_json({done: moved, "gone": gone})
    else:
        say(f"{done}: `{len(moved)}` letters")
        for one in gone:
            say(f"interlock: there is no such dead letter as `{one}`")
    if gone:
        raise typer.Exit(NO)


def _show(found: Sequence[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print_json(found)
    else:
        print_table(COLUMNS, [[one.get(column) for column in COLUMNS] for one in found], "none")
