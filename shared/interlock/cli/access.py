"""`interlock agent` and `interlock key`: who there is, and what proves them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from interlock.cli.connection import Json, ask, request, seconds
from interlock.cli.output import print_fields, print_json, print_line, print_table, say

if TYPE_CHECKING:
    from interlock.sdk import Interlock

agents = typer.Typer(help="Agents, and what they were given.", no_args_is_help=True)
keys = typer.Typer(help="API keys of agents and people.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="The agent's name.")]
Permission = Annotated[list[str] | None, typer.Option(help="May be repeated.")]
WithApproval = Annotated[
    list[str] | None, typer.Option(help="A permission that a person must approve; repeatable.")
]
NOTHING: dict[str, Any] = {"permissions": [], "with_approval": []}


@agents.command()
def add(  # noqa: PLR0913 one option for each field of an agent
    context: typer.Context,
    name: Name,
    *,
    permission: Permission = None,
    with_approval: WithApproval = None,
    description: Annotated[str, typer.Option(help="What it is for.")] = "",
    act_for: Annotated[
        list[str] | None, typer.Option(help="A user for whom it may act (`*`: any); repeatable.")
    ] = None,
    token_scope: Annotated[
        list[str] | None, typer.Option(help="What its tokens may say; repeatable.")
    ] = None,
    bus_key: Annotated[
        Path | None, typer.Option(help="Make its key for the bus, and write it to this file.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Register an agent with its permissions."""
    if bus_key is not None and bus_key.exists():
        raise typer.BadParameter(f"`{bus_key}` is there already; name another file")
    body = {
        "name": name,
        "description": description,
        "may_act_for": act_for or [],
        "token_scopes": token_scope or [],
    }

    async def work(client: "Interlock") -> dict[str, Any]:
        agent = await client.request("POST", "/auth/v1/agents", body)
        given = await _permit(client, name, permission, with_approval)
        if bus_key is not None:
            from interlock.sdk.bus import make_key  # noqa: PLC0415 the bus, which few commands need

            await make_key(client, agent["tenant"], name, bus_key)
        return {**agent, **given}

    made = ask(context, work)
    if as_json:
        print_json(made)
        return
    say(f"agent `{name}` is registered; `interlock key create --agent {name}` makes its API key")
    if bus_key is not None:
        say(f"its key for the bus is in `{bus_key}`")


@agents.command()
def permit(
    context: typer.Context,
    name: Name,
    permission: Permission = None,
    with_approval: WithApproval = None,
    as_json: Json = False,
) -> None:
    """Set an agent's permissions, in place of those it has."""
    told = ask(context, lambda client: _permit(client, name, permission, with_approval))
    if as_json:
        print_json(told)
    else:
        say(f"agent `{name}` has `{len(told['permissions'])}` permissions now")


@agents.command("list")
def list_agents(context: typer.Context, as_json: Json = False) -> None:
    """All agents of the tenant."""

    async def work(client: "Interlock") -> list[dict[str, Any]]:
        given = await _given(client)
        found = await all_pages(client, "agents")
        return [{**one, **given.get(one["name"], NOTHING)} for one in found]

    found = ask(context, work)
    if as_json:
        print_json(found)
        return
    columns = ("name", "enabled", "permissions", "with_approval", "description")
    rows = [[one.get(column) for column in columns] for one in found]
    print_table(columns, rows, "no agents yet: `interlock agent add`")


@agents.command("show")
def show_agent(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """One agent."""

    async def work(client: "Interlock") -> dict[str, Any]:
        agent = await client.request("GET", f"/auth/v1/agents/{name}")
        return {**agent, **(await _given(client)).get(name, NOTHING)}

    found = ask(context, work)
    if as_json:
        print_json(found)
    else:
        print_fields(found)


@agents.command()
def disable(context: typer.Context, name: Name) -> None:
    """End all access of an agent: its keys, its tokens, its submissions."""
    request(context, "DELETE", f"/auth/v1/agents/{name}")
    say(f"agent `{name}` is disabled")


@keys.command()
def create(  # noqa: PLR0913 one option for each field of a key
    context: typer.Context,
    *,
    agent: Annotated[str | None, typer.Option(help="For this agent.")] = None,
    person: Annotated[str | None, typer.Option(help="For this person.")] = None,
    user: Annotated[str | None, typer.Option(help="The user for whom the agent acts.")] = None,
    role: Annotated[
        list[str] | None, typer.Option(help="Of a person: operator, approver, …; repeatable.")
    ] = None,
    token_scope: Annotated[list[str] | None, typer.Option(help="May be repeated.")] = None,
    expires: Annotated[str | None, typer.Option(help="After `90d`, `12h`, …; else never.")] = None,
    as_json: Json = False,
) -> None:
    """Make an API key. It is shown this once: `KEY=$(interlock key create --agent …)`."""
    if (agent is None) == (person is None):
        raise typer.BadParameter("give either `--agent` or `--person`")
    asked = {
        "agent": agent,
        "person": person,
        "user": user,
        "roles": role or [],
        "token_scopes": token_scope or [],
        "expires_at": _from_now(expires) if expires else None,
    }
    body = {name: value for name, value in asked.items() if value}
    made = request(context, "POST", "/auth/v1/keys", body)
    if as_json:
        print_json(made)
        return
    print_line(made["key"])
    say(f"key `{made['key_id']}`; it is not shown again")


@keys.command("list")
def list_keys(context: typer.Context, as_json: Json = False) -> None:
    """All API keys of the tenant, without their secrets."""
    found = ask(context, lambda client: all_pages(client, "keys"))
    if as_json:
        print_json(found)
        return
    columns = ("key", "for", "roles", "token scopes", "made", "expires")
    rows = [
        [
            one["key_id"],
            f"{one['principal']['kind']}:{one['principal']['name']}",
            one["roles"],
            one["token_scopes"],
            one["issued_at"],
            one["expires_at"],
        ]
        for one in found
    ]
    print_table(columns, rows, "no keys yet: `interlock key create`")


@keys.command()
def revoke(
    context: typer.Context, key: Annotated[str, typer.Argument(help="The key's id.")]
) -> None:
    """End an API key, everywhere within a second."""
    request(context, "DELETE", f"/auth/v1/keys/{key}")
    say(f"key `{key}` is revoked")


async def _permit(
    client: "Interlock", name: str, permission: list[str] | None, with_approval: list[str] | None
) -> dict[str, Any]:
    given = {"permissions": permission or [], "with_approval": with_approval or []}
    told = await client.request("PUT", f"/policy/v1/permissions/{name}", given)
    return {**given, "policy_version": told["version"]}


async def _given(client: "Interlock") -> dict[str, dict[str, Any]]:
    """What each agent was given."""
    found = (await client.request("GET", "/policy/v1/permissions"))["permissions"]
    return {one.pop("agent"): one for one in found}


async def all_pages(client: "Interlock", what: str) -> list[dict[str, Any]]:
    """All pages of a list of auth's."""
    found: list[dict[str, Any]] = []
    after: str | None = ""
    while after is not None:
        told = await client.request("GET", f"/auth/v1/{what}?limit=1000&after={quote(after)}")
        found += told[what]
        after = told["next"]
    return found


def _from_now(time: str) -> str:
    now = datetime.now(UTC)  # noqa: TID251 the edge of this process
    return (now + timedelta(seconds=seconds(time))).isoformat()
