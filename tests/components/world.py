"""A suite with something to govern: the sample CRM, and an agent that may use all of it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from joserfc.jwk import OKPKey

from interlock.sdk import AgentKey
from tests.components.crm import SCOPE, SERVER, Crm, crm
from tests.components.suite import Suite, suite

AGENT = "copilot"
TENANT = "default"


@dataclass(frozen=True)
class World:
    """A running suite, its upstream, and the credentials of its agent."""

    suite: Suite
    crm: Crm
    key: str
    """API key of the agent."""
    bus_key: AgentKey


@contextmanager
def world(folder: Path, *arguments: str, env: Mapping[str, str] | None = None) -> Iterator[World]:
    """Everything up and registered."""
    with crm() as upstream, suite(folder / "data", *arguments, env=env) as running:
        yield prepare(running, upstream)


def prepare(running: Suite, upstream: Crm) -> World:
    """Register the CRM and the agent."""
    register_server(running, upstream.url)
    running.ask("POST", "/auth/v1/agents", {"name": AGENT})
    permit(running, SCOPE)
    made = running.ask("POST", "/auth/v1/keys", {"agent": AGENT})
    pair = OKPKey.generate_key("Ed25519")
    public = pair.as_dict(private=False)
    running.ask("POST", f"/auth/v1/agents/{AGENT}/keys", {"public_key": public})
    bus_key = AgentKey.of(TENANT, AGENT, pair.as_dict(private=True))
    return World(running, upstream, made["key"], bus_key)


def register_server(running: Suite, url: str, name: str = SERVER) -> None:
    """Register the CRM at `url`, and bring it to where it may be called."""
    server = {
        "name": name,
        "capability": "keeps opportunities and discounts",
        "owner_team": "sales",
        "technical_owner": "ana",
        "environment": "development",
        "connection": {"transport": "streamable-http", "url": f"{url}/mcp"},
        "required_scopes": [SCOPE],
        "risk": "low",
    }
    told = running.ask("POST", "/registry/v1/servers", server)
    assert told["inspected"], told["inspect_error"]
    for state in ("submitted", "security_review", "approved_dev"):
        running.ask("POST", f"/registry/v1/servers/{name}/move", {"to": state, "reason": "test"})


def permit(running: Suite, *scopes: str, with_approval: tuple[str, ...] = ()) -> None:
    """What the agent may use from now on."""
    given = {"permissions": [*scopes], "with_approval": [*with_approval]}
    running.ask("PUT", f"/policy/v1/permissions/{AGENT}", given)
