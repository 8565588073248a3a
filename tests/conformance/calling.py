"""What the official suite runs as "the client": `python calling.py <url>`.

It puts the suite's server behind an Interlock that runs already, and asks it through that for all
that there is. It stands alone and is quick to start, as it is started for each scenario.
"""

import json
import os
import sys
import time
import urllib.error
import urllib.request
from typing import Any

URL, OPERATOR, AGENT = (f"INTERLOCK_CONFORMANCE_{name}" for name in ("URL", "OPERATOR", "AGENT"))
SCOPE = "peer:use"
VERSION = "2025-11-25"
"""Of this client, which is nobody's subject here: this version asks for the fewest headers."""
BUSY = 20
"""Times that a door which is not ready is asked again, a second apart."""
SAMPLES: dict[str, Any] = {"number": 5, "integer": 5, "boolean": True, "array": [], "object": {}}
"""By type: an argument that a tool may be called with; of any other type it is a text."""


def ask(method: str, path: str, body: Any, key: str, **headers: str) -> Any:
    """The JSON answer, whatever its status."""
    given = {"Content-Type": "application/json", "Authorization": f"Bearer {os.environ[key]}"}
    request = urllib.request.Request(
        os.environ[URL] + path, json.dumps(body).encode(), given | headers, method=method
    )
    for _ in range(BUSY):
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                text = answer.read().decode()
        except urllib.error.HTTPError as error:
            text = error.read().decode()
            if error.code == 503:  # all scenarios begin at the same moment
                time.sleep(1)
                continue
        break
    if text.startswith(("event:", ":", "data:")):
        text = [line[5:] for line in text.splitlines() if line.startswith("data:")][-1]
    return json.loads(text)


def register(name: str, url: str) -> None:
    """The server is in the catalogue, and may be called."""
    server = {
        "name": name,
        "capability": f"plays {name}",
        "owner_team": "tests",
        "technical_owner": "ana",
        "environment": "development",
        "connection": {"transport": "streamable-http", "url": url},
        "required_scopes": [SCOPE],
        "risk": "low",
    }
    told = ask("POST", "/registry/v1/servers", server, OPERATOR, Prefer="wait=20")
    for _ in range(BUSY):
        if told.get("inspected") or told.get("inspect_error"):
            break
        time.sleep(1)
        told = ask("GET", f"/registry/v1/servers/{name}", None, OPERATOR)
    if not told.get("inspected"):
        sys.exit(f"the server was not understood: {told.get('inspect_error') or told}")
    for state in ("submitted", "security_review", "approved_dev"):
        move(name, state)


def move(name: str, state: str) -> None:
    body = {"to": state, "reason": "test"}
    ask("POST", f"/registry/v1/servers/{name}/move", body, OPERATOR)


class Peer:
    """The server, through Interlock."""

    def __init__(self, name: str) -> None:
        self._path = f"/servers/{name}/mcp"

    def ask(self, method: str, params: Any) -> Any:
        """What it answers to one request."""
        headers = {
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": VERSION,
        }
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        return ask("POST", self._path, message, AGENT, **headers)

    def all(self, method: str, member: str) -> list[Any]:
        listed: list[Any] = self.ask(method, {}).get("result", {}).get(member, [])
        return listed


def use(peer: Peer, wanted: list[Any]) -> None:
    """Call each tool, read each resource, get each prompt; or make the calls that are wanted."""
    tools = {tool["name"]: tool for tool in peer.all("tools/list", "tools")}
    calls = wanted or [{"name": name, "arguments": sample(tool)} for name, tool in tools.items()]
    for call in calls:
        given = {name: value for name, value in call["arguments"].items() if value is not None}
        call["arguments"] = given  # the door refuses a null where the schema wants something else
        say(peer.ask("tools/call", call))
    for resource in peer.all("resources/list", "resources"):
        peer.ask("resources/read", {"uri": resource["uri"]})
    for prompt in peer.all("prompts/list", "prompts"):
        peer.ask("prompts/get", {"name": prompt["name"]})


def say(what: Any) -> None:
    """The suite keeps it beside its checks."""
    sys.stdout.write(json.dumps(what) + "\n")


def sample(tool: Any) -> dict[str, Any]:
    """Arguments of the kinds that the tool wants."""
    schema = tool["inputSchema"]
    wanted = {
        name: schema.get("properties", {}).get(name, {}) for name in schema.get("required", ())
    }
    return {name: SAMPLES.get(one.get("type"), "text") for name, one in wanted.items()}


def main() -> None:
    context = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT") or "{}")
    name = f"peer-{os.getpid()}"
    register(name, sys.argv[-1])
    try:
        use(Peer(name), context.get("toolCalls", []))
    finally:
        move(name, "retired")


if __name__ == "__main__":
    main()
