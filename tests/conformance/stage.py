"""Interlock in front of the server that does everything, and what both remember of a run."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

from tests.components.suite import Suite, suite, upstream

SERVER = "everything"
AGENT = "client"
SCOPE = "everything:use"


@dataclass(frozen=True)
class Stage:
    """A running suite and its upstream."""

    suite: Suite
    upstream: str
    key: str
    """API key of an agent that may use all of the upstream."""

    @property
    def endpoint(self) -> str:
        """Where the upstream's own names are."""
        return f"{self.suite.url}/servers/{SERVER}/mcp"

    def executed(self) -> dict[str, str]:
        """What the upstream was asked to do, by task: `tools/call`, `prompts/get`, …

        The key is empty for what no task asked for.
        """
        with urlopen(f"{self.upstream}/control/asked", timeout=10) as answer:
            told: dict[str, str] = json.load(answer)
        return told


@contextmanager
def stage(
    folder: Path, origin: str, *arguments: str, sticky: bool = False, older: bool = False
) -> Iterator[Stage]:
    """Everything up, as `arguments` of `interlock up` say, registered and permitted.

    Pages of `origin` may call; `sticky`: clients of 2025-11-25 get sessions; `older`: the upstream
    speaks no later version.
    """
    env = {
        "INTERLOCK_GATEWAY_ALLOWED_ORIGINS": json.dumps([origin]),
        "INTERLOCK_GATEWAY_STICKY_SESSIONS": json.dumps(sticky),
    }
    with (
        upstream("tests.conformance.everything", *(["--handshake-only"] if older else [])) as url,
        suite(folder / "data", *arguments, env=env) as running,
    ):
        _register(running, url)
        running.ask("POST", "/auth/v1/agents", {"name": AGENT})
        running.ask("PUT", f"/policy/v1/permissions/{AGENT}", {"permissions": [SCOPE]})
        made = running.ask("POST", "/auth/v1/keys", {"agent": AGENT})
        yield Stage(running, url, made["key"])


ANSWERED = {
    "slow_compute": "task",
    "protocol_error_job": "task",
    "confirm_delete": "task",
    "multi_input": "task",
    "failing_job": "task_required",
    "test_tool_with_task": "mrtr_first",
}
"""How calls are answered to clients that know tasks; of all other tools with their results."""


def _register(running: Suite, url: str) -> None:
    server = {
        "name": SERVER,
        "capability": "does everything",
        "owner_team": "tests",
        "technical_owner": "ana",
        "environment": "development",
        "connection": {"transport": "streamable-http", "url": f"{url}/mcp"},
        "required_scopes": [SCOPE],
        "risk": "low",
    }
    told = running.ask("POST", "/registry/v1/servers", server)
    assert told["inspected"], told["inspect_error"]
    tools = {name: {"execution": execution} for name, execution in ANSWERED.items()}
    running.ask("PATCH", f"/registry/v1/servers/{SERVER}", {"tools": tools})
    for state in ("submitted", "security_review", "approved_dev"):
        running.ask("POST", f"/registry/v1/servers/{SERVER}/move", {"to": state, "reason": "test"})
