"""`interlock user` and `interlock tenant`: people, and the walls between customers."""

from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote, urlencode

import typer

from interlock.cli.access import all_pages
from interlock.cli.connection import Json, ask, request
from interlock.cli.output import print_fields, print_json, print_line, print_table, say

if TYPE_CHECKING:
    from interlock.sdk import Interlock

users = typer.Typer(help="People, and what is given to them here.", no_args_is_help=True)
tenants = typer.Typer(help="Tenants, for whoever runs the suite.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="The user's name.")]
Tenant = Annotated[str, typer.Argument(help="The tenant's name.")]
Role = Annotated[
    list[str] | None, typer.Option(help="operator, approver, auditor, …; may be repeated.")
]
Issuer = Annotated[str, typer.Argument(help="The issuer's URL.")]
Subject = Annotated[str, typer.Argument(help="What its tokens call the person (`user_claim`).")]


@users.command()
def add(  # noqa: PLR0913 one option for each field of a user
    context: typer.Context,
    name: Name,
    *,
    role: Role = None,
    display_name: Annotated[str, typer.Option(help="For people to read.")] = "",
    email: Annotated[str, typer.Option(help="For people to write to.")] = "",
    issuer: Annotated[str | None, typer.Option(help="Who signs in there is this user.")] = None,
    subject: Annotated[
        str | None, typer.Option(help="What the issuer's tokens call the person; else the name.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Register a user, with roles."""
    if subject is not None and issuer is None:
        raise typer.BadParameter("`--subject` is what an `--issuer` calls the person; name it")
    body = {
        "name": name,
        "display_name": display_name,
        "email": email,
        "roles": role or [],
        "identities": [{"issuer": issuer, "subject": subject or name}] if issuer else [],
    }
    made = request(context, "POST", "/auth/v1/users", body)
    if as_json:
        print_json(made)
        return
    say(f"user `{name}` is registered; `interlock key create --person {name}` makes an API key")


@users.command("list")
def list_users(context: typer.Context, as_json: Json = False) -> None:
    """All users of the tenant."""
    found = ask(context, lambda client: all_pages(client, "users"))
    if as_json:
        print_json(found)
        return
    columns = ("name", "enabled", "roles", "display_name", "email", "signs in as")
    rows = [
        [one[column] for column in columns[:-1]] + [[_identity(it) for it in one["identities"]]]
        for one in found
    ]
    print_table(columns, rows, "no users yet: `interlock user add`")


@users.command("show")
def show_user(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """One user: who signs in as it, which agents may act for it, its API keys."""
    found = request(context, "GET", _path(name))
    if as_json:
        print_json(found)
        return
    print_fields({**found, "identities": [_identity(one) for one in found["identities"]]})


@users.command()
def roles(
    context: typer.Context,
    name: Name,
    given: Annotated[list[str] | None, typer.Argument(help="All that the user shall have.")] = None,
    as_json: Json = False,
) -> None:
    """Set a user's roles, in place of those it has; none takes all away."""
    told = request(context, "PATCH", _path(name), {"roles": given or []})
    if as_json:
        print_json(told)
    else:
        say(f"user `{name}` has the roles: {', '.join(told['roles']) or 'none'}")


@users.command()
def disable(context: typer.Context, name: Name) -> None:
    """End all access of a user, everywhere within a second."""
    request(context, "POST", f"{_path(name)}/disable")
    say(f"user `{name}` is disabled")


@users.command()
def enable(context: typer.Context, name: Name) -> None:
    """Let a user sign in again; keys and tokens of before stay refused."""
    request(context, "POST", f"{_path(name)}/enable")
    say(f"user `{name}` is enabled")


@users.command()
def link(context: typer.Context, name: Name, issuer: Issuer, subject: Subject) -> None:
    """Let a person of an issuer sign in as the user."""
    body = {"issuer": issuer, "subject": subject}
    request(context, "POST", f"{_path(name)}/identities", body)
    say(f"`{subject}` of `{issuer}` signs in as user `{name}`")


@users.command()
def unlink(context: typer.Context, name: Name, issuer: Issuer, subject: Subject) -> None:
    """End that, and what it let in."""
    query = urlencode({"issuer": issuer, "subject": subject})
    request(context, "DELETE", f"{_path(name)}/identities?{query}")
    say(f"`{subject}` of `{issuer}` is user `{name}` no longer")


@users.command()
def agents(
    context: typer.Context,
    name: Name,
    let: Annotated[
        list[str] | None, typer.Option(help="An agent that may act for the user; repeatable.")
    ] = None,
    stop: Annotated[
        list[str] | None, typer.Option(help="One that may no longer; repeatable.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Which agents may act for a user; `--let` and `--stop` change it."""

    async def work(client: "Interlock") -> list[str]:
        for method, names in (("PUT", let), ("DELETE", stop)):
            for agent in names or ():
                await client.request(method, f"{_path(name)}/agents/{quote(agent, safe='')}")
        told: list[str] = (await client.request("GET", _path(name)))["agents"]
        return told

    found = ask(context, work)
    if as_json:
        print_json(found)
    else:
        print_table(("agent",), [[one] for one in found], f"no agent may act for `{name}`")


@users.command()
def erase(
    context: typer.Context,
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """End a user for good and forget what was told of it. Its name stays in the ledger, and is not
    given again."""
    if not yes:
        typer.confirm(f"erase user `{name}`, for good?", abort=True, err=True)
    request(context, "DELETE", _path(name))
    say(f"user `{name}` is erased")


@tenants.command("add")
def add_tenant(context: typer.Context, name: Tenant, as_json: Json = False) -> None:
    """Create a tenant. Its first administrator's key is shown this once."""
    made = request(context, "POST", "/auth/v1/tenants", {"name": name})
    if as_json:
        print_json(made)
        return
    print_line(made["key"])
    say(f"tenant `{name}` is created; this is the key of its `admin`, and is not shown again")


@tenants.command("list")
def list_tenants(context: typer.Context, as_json: Json = False) -> None:
    """All tenants of the suite."""
    found = ask(context, lambda client: all_pages(client, "tenants"))
    if as_json:
        print_json(found)
        return
    columns = ("name", "enabled", "created_at")
    print_table(columns, [[one[column] for column in columns] for one in found], "no tenants")


@tenants.command("show")
def show_tenant(context: typer.Context, name: Tenant, as_json: Json = False) -> None:
    """One tenant."""
    found = request(context, "GET", f"/auth/v1/tenants/{quote(name, safe='')}")
    if as_json:
        print_json(found)
    else:
        print_fields(found)


@tenants.command("disable")
def disable_tenant(
    context: typer.Context,
    name: Tenant,
    reason: Annotated[str, typer.Option(help="For the ledger.")] = "",
) -> None:
    """Let nobody of a tenant in, everywhere within a second, until it is enabled again."""
    path = f"/auth/v1/tenants/{quote(name, safe='')}/disable"
    request(context, "POST", path, {"reason": reason})
    say(f"tenant `{name}` is disabled")


@tenants.command("enable")
def enable_tenant(context: typer.Context, name: Tenant) -> None:
    """Let in again who was let in before."""
    request(context, "POST", f"/auth/v1/tenants/{quote(name, safe='')}/enable")
    say(f"tenant `{name}` is enabled")


def _path(name: str) -> str:
    return f"/auth/v1/users/{quote(name, safe='')}"


def _identity(identity: dict[str, Any]) -> str:
    return f"{identity['subject']} at {identity['issuer']}"
