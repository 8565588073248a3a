"""Who plays: three servers with their tools, two agents, and a person who approves."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interlock.demo.stage import Stage
from interlock.demo.teller import expect
from interlock.sdk import Interlock
from interlock.sdk.bus import make_key

TENANT = "default"
SCOPES = {
    "update_stage": ["crm:write"],
    "export_customers": ["crm:export"],
    "request_discount": ["discount:request"],
    "grant_discount": ["discount:grant"],
}
"""What tools ask for beside their server's scope."""
AGENTS: Mapping[str, Mapping[str, Any]] = {
    "sales-copilot": {"permissions": ["crm:read", "time:read", "repo:read"]},
    "deal-desk": {
        "permissions": ["crm:read", "discount:request"],
        "with_approval": ["discount:grant"],
    },
}


@dataclass(frozen=True)
class Cast:
    """Clients of the suite, each as somebody else."""

    operator: Interlock
    dana: Interlock
    """A person with the role `approver`."""
    agents: Mapping[str, Interlock]
    keys: Mapping[str, str]
    """The agents' API keys."""
    bus_key: Path
    """File of the key with which `deal-desk` signs on the bus."""


async def register_servers(operator: Interlock, stage: Stage) -> dict[str, int]:
    """The three servers, approved for development; how many tools each offers."""
    owner = {"owner_team": "sales", "technical_owner": "omar", "environment": "development"}
    http = {"transport": "streamable-http", "url": f"{stage.crm}/mcp"}
    found = {
        name: {**owner, "capability": capability, "connection": connection, "required_scopes": [s]}
        for name, capability, connection, s in (
            ("crm", "opportunities, customers and discounts", http, "crm:read"),
            ("clock", "time", {"transport": "stdio", "command": "time"}, "time:read"),
            (
                "repo",
                "the team's git repository",
                {"transport": "stdio", "command": "git"},
                "repo:read",
            ),
        )
    }
    return {name: await _register(operator, {"name": name, **one}) for name, one in found.items()}


async def _register(operator: Interlock, server: Mapping[str, Any]) -> int:
    headers = {"Prefer": "wait=20"}
    name = server["name"]
    shown = await operator.request("POST", "/registry/v1/servers", server, headers)
    expect(shown["inspected"], f"server `{name}` was not inspected: {shown['inspect_error']}")
    scopes = {tool["name"]: _scopes(name, tool) for tool in shown["tools"]}
    tools = {tool: {"required_scopes": wanted} for tool, wanted in scopes.items() if wanted}
    await operator.request("PATCH", f"/registry/v1/servers/{name}", {"tools": tools})
    for state in ("submitted", "security_review", "approved_dev"):
        move = {"to": state, "reason": "demo"}
        await operator.request("POST", f"/registry/v1/servers/{name}/move", move)
    return len(shown["tools"])


def _scopes(server: str, tool: Mapping[str, Any]) -> list[str]:
    """What the owner of a server asks for each of its tools."""
    if server == "repo" and not tool["read_only"]:
        return ["repo:write"]
    return SCOPES.get(tool["name"], [])


@asynccontextmanager
async def enter(operator: Interlock, stage: Stage) -> AsyncIterator[Cast]:
    """Register agents with what they may do, and make everybody's keys."""
    keys = {}
    for name, given in AGENTS.items():
        await operator.request("POST", "/auth/v1/agents", {"name": name})
        await operator.request("PUT", f"/policy/v1/permissions/{name}", given)
        keys[name] = await _key(operator, {"agent": name})
    approver = await _key(operator, {"person": "dana", "roles": ["approver"]})
    bus_key = stage.folder / "deal-desk.key.json"
    await make_key(operator, TENANT, "deal-desk", bus_key)
    async with AsyncExitStack() as stack:
        agents = {
            name: await stack.enter_async_context(Interlock(stage.url, key))
            for name, key in keys.items()
        }
        dana = await stack.enter_async_context(Interlock(stage.url, approver))
        yield Cast(operator, dana, agents, keys, bus_key)


async def _key(operator: Interlock, body: Mapping[str, Any]) -> str:
    made: str = (await operator.request("POST", "/auth/v1/keys", body))["key"]
    return made
