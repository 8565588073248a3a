"""`interlock policy`: rules in Cedar, and what agents were given."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from interlock.cli.connection import Json, request
from interlock.cli.output import CANNOT, NO, print_fields, print_json, print_line, print_table, say
from interlock.errors import Refused

if TYPE_CHECKING:
    from interlock.policy import LoadedPolicies

app = typer.Typer(help="Policies: what agents may do, in Cedar.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="The policy's name.")]
Version = Annotated[int | None, typer.Option(help="As of this version, else the newest.")]


@app.command()
def check(
    files: Annotated[list[Path], typer.Argument(help="`.cedar` files.")], as_json: Json = False
) -> None:
    """Check policies here, beside the built-in ones; each fault with file, line and column."""
    texts = [(_named(path), _read(path)) for path in files]
    faults: list[dict[str, Any]] = []
    rules: list[dict[str, Any]] = []
    try:
        loaded = _loaded(texts)
    except Refused as error:
        faults = cast("list[dict[str, Any]]", error.data["faults"])
    else:
        rules = [
            {"id": rule.id, "place": rule.place, "effect": "forbid" if rule.forbids else "permit"}
            for rule in loaded.rules.values()
            if not rule.id.startswith("builtin/")
        ]
    if as_json:
        print_json({"valid": not faults, "faults": faults, "rules": rules})
    else:
        for fault in faults:
            say(f"{fault['file']}:{fault['line']}:{fault['column']}: {fault['message']}")
    if not faults and not as_json:
        columns = ("id", "effect", "place")
        print_table(columns, [[one[name] for name in columns] for one in rules], "no policies")
    if faults:
        raise typer.Exit(NO)


@app.command("list")
def list_policies(context: typer.Context, version: Version = None, as_json: Json = False) -> None:
    """The policies in force."""
    found = request(context, "GET", "/policy/v1/policies" + _asked(version))
    if as_json:
        print_json(found)
        return
    rows = [
        [one["name"], source, _summary(one["text"])]
        for key, source in (("policies", "own"), ("builtin", "built in"))
        for one in found[key]
    ]
    print_table(("policy", "source", "says"), rows, "none")
    say(f"version {found['version']}")


@app.command()
def show(
    context: typer.Context, name: Name, version: Version = None, as_json: Json = False
) -> None:
    """One policy's text."""
    found = request(context, "GET", f"/policy/v1/policies/{name}{_asked(version)}")
    if as_json:
        print_json(found)
    else:
        print_line(found["text"].rstrip("\n"))


@app.command()
def put(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="A `.cedar` file.")],
    name: Annotated[str | None, typer.Option(help="Its name, else the file's.")] = None,
    as_json: Json = False,
) -> None:
    """Put a policy in force: for the next decision, everywhere."""
    chosen = name or file.stem
    told = request(context, "PUT", f"/policy/v1/policies/{chosen}", {"text": _read(file)})
    _changed(told, f"policy `{chosen}` is in force", as_json)


@app.command()
def delete(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """Take a policy out of force. Its versions stay."""
    told = request(context, "DELETE", f"/policy/v1/policies/{name}")
    _changed(told, f"policy `{name}` is out of force", as_json)


@app.command()
def history(context: typer.Context, as_json: Json = False) -> None:
    """Which version came when, and by whom."""
    found = request(context, "GET", "/policy/v1/policy-versions")["versions"]
    if as_json:
        print_json(found)
        return
    columns = ("version", "at", "by", "what")
    print_table(columns, [[one[name] for name in columns] for one in found], "no version yet")


@app.command()
def permissions(
    context: typer.Context,
    agent: Annotated[str | None, typer.Argument(help="Only of this agent.")] = None,
    version: Version = None,
    as_json: Json = False,
) -> None:
    """What agents were given. `interlock agent permit` changes it."""
    found = request(context, "GET", "/policy/v1/permissions" + _asked(version))["permissions"]
    given = [one for one in found if agent in (None, one["agent"])]
    if as_json:
        print_json(given)
    elif agent and given:
        print_fields(given[0])
    else:
        columns = ("agent", "permissions", "with approval")
        rows = [[one["agent"], one["permissions"], one["with_approval"]] for one in given]
        print_table(columns, rows, "nobody was given anything")


def _loaded(texts: list[tuple[str, str]]) -> "LoadedPolicies":
    from interlock.contracts.access import (  # noqa: PLC0415 100 ms that other commands save
        PolicySetRecord,
        PolicyText,
    )
    from interlock.policy import load  # noqa: PLC0415 as above

    policies = tuple(PolicyText(name=name, text=text) for name, text in texts)
    return load(PolicySetRecord(tenant="check", version=0, policies=policies))


def _named(path: Path) -> str:
    return str(path).removesuffix(".cedar")


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no UTF-8"
        say(f"interlock: cannot read `{path}`: {why.lower()}")
        raise typer.Exit(CANNOT) from None


def _asked(version: int | None) -> str:
    return "" if version is None else f"?version={version}"


def _summary(text: str) -> str:
    """A policy's first line that is no comment and no annotation."""
    lines = (line.strip() for line in text.splitlines())
    return next((line for line in lines if line and not line.startswith(("//", "@"))), "")


def _changed(told: dict[str, Any], sentence: str, as_json: bool) -> None:
    if as_json:
        print_json(told)
    else:
        say(f"{sentence}, version {told['version']}")
