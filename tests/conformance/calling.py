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
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

URL, OPERATOR, AGENT = (f"INTERLOCK_CONFORMANCE_{name}" for name in ("URL", "OPERATOR", "AGENT"))
SCOPE = "peer:use"
VERSION, OLDER = "2026-07-28", "2025-11-25"
"""Of this client, which is nobody's subject here. In the newer one servers' questions reach it; the
older one spares it the headers that mirror a tool's arguments."""
MIRRORED = "x-mcp-header"
META = "io.modelcontextprotocol/"
ROUNDS = 5
"""Of questions that one call may ask."""
LOGIN = "interlock server login"
"""What an error says where a person's consent would help."""
LOGINS = 2
"""Consents that the person gives to one server, then they have had enough."""
SCENARIO = os.environ.get("MCP_CONFORMANCE_SCENARIO", "")
AS_ITSELF = "client-credentials"
"""In the name of scenarios that ask no person."""
CALLBACK = "http://127.0.0.1:8765/callback"
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


def register(name: str, url: str, person: "Person") -> None:
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
    told = ended(name, ask("POST", "/registry/v1/servers", server, OPERATOR, Prefer="wait=20"))
    while not told.get("inspected") and person.consents(told.get("inspect_error")):
        path = f"/registry/v1/servers/{name}/inspect"
        told = ended(name, ask("POST", path, {}, OPERATOR, Prefer="wait=20"))
    if not told.get("inspected"):
        sys.exit(f"the server was not understood: {told.get('inspect_error') or told}")
    for state in ("submitted", "security_review", "approved_dev"):
        move(name, state)


def ended(name: str, told: Any) -> Any:
    """The server once it was looked at."""
    for _ in range(BUSY):
        if told.get("inspected") or told.get("inspect_error"):
            break
        time.sleep(1)
        told = ask("GET", f"/registry/v1/servers/{name}", None, OPERATOR)
    return told


def move(name: str, state: str) -> None:
    body = {"to": state, "reason": "test"}
    ask("POST", f"/registry/v1/servers/{name}/move", body, OPERATOR)


class Person:
    """The operator at `interlock server login`: follows the way to consent, and back."""

    def __init__(self, name: str, url: str, context: Any) -> None:
        self._url = url
        self._path = f"/invocation/v1/servers/{name}/login"
        self._context = context
        self._left = LOGINS

    def consents(self, error: object) -> bool:
        """Whether a consent was given because of this error."""
        if LOGIN not in json.dumps(error) or not self._left:
            return False
        self._left -= 1
        begun = ask("POST", self._path, self._login(), OPERATOR)
        if begun.get("consent_at"):
            back = {"redirected_to": redirected(begun["consent_at"])}
            begun = ask("POST", f"{self._path}/answer", back, OPERATOR)
        if not begun.get("logged_in"):
            sys.exit(f"the login failed: {begun}")
        return True

    def _login(self) -> Any:
        """As the client that was registered before, where the suite gives one."""
        given = self._context
        if "client_id" not in given:
            return {"redirect_uri": CALLBACK}
        client = {"client_id": given["client_id"], "issuer": given.get("issuer") or self._issuer()}
        if "private_key_pem" in given:
            client |= {"method": "private_key_jwt", "private_key": given["private_key_pem"]}
            client |= {"algorithm": given["signing_algorithm"]}
        else:
            client |= {"client_secret": given["client_secret"]}
        grant = "client_credentials" if AS_ITSELF in SCENARIO else "authorization_code"
        return {"redirect_uri": CALLBACK, "grant": grant, "client": client}

    def _issuer(self) -> str:
        """People know it who register a client there."""
        parts = urlsplit(self._url)
        path = f"/.well-known/oauth-protected-resource{parts.path}"
        with urllib.request.urlopen(f"{parts.scheme}://{parts.netloc}{path}", timeout=30) as said:
            servers: list[str] = json.load(said)["authorization_servers"]
        return servers[0]


def redirected(url: str) -> str:
    """Where the page of consent sends the person's browser."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.netloc, timeout=30)
    try:
        connection.request("GET", f"{parts.path}?{parts.query}")
        return connection.getresponse().headers["Location"] or ""
    finally:
        connection.close()


class Peer:
    """The server, through Interlock."""

    def __init__(self, name: str) -> None:
        self._path = f"/servers/{name}/mcp"

    def ask(self, method: str, params: Any) -> Any:
        """What it answers to one request, once its questions are answered."""
        more: dict[str, Any] = {}
        for _ in range(ROUNDS):
            told = self._once(method, params | more, VERSION)
            result = told.get("result", {})
            if result.get("resultType") != "input_required":
                break
            asked = result.get("inputRequests", {})
            more = {"inputResponses": {key: answer_to(one) for key, one in asked.items()}}
            if "requestState" in result:
                more["requestState"] = result["requestState"]
        return told

    def call(self, call: Any, tool: Any) -> Any:
        """What a tool answers."""
        if MIRRORED in json.dumps(tool):
            return self._once("tools/call", call, OLDER)
        return self.ask("tools/call", call)

    def _once(self, method: str, params: Any, version: str) -> Any:
        headers = {
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": version,
            "Mcp-Method": method,
        }
        if "name" in params or "uri" in params:
            headers["Mcp-Name"] = params.get("name") or params["uri"]
        meta = {
            f"{META}protocolVersion": VERSION,
            f"{META}clientCapabilities": {"elicitation": {"form": {}}},
        }
        if version == VERSION:
            params = {**params, "_meta": meta}
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        return ask("POST", self._path, message, AGENT, **headers)

    def all(self, method: str, member: str) -> list[Any]:
        listed: list[Any] = self.ask(method, {}).get("result", {}).get(member, [])
        return listed


def answer_to(question: Any) -> Any:
    """What the person says: yes, and the default wherever there is one."""
    fields = question["params"].get("requestedSchema", {}).get("properties", {})
    said = {
        name: one.get("default", SAMPLES.get(one.get("type"), "text"))
        for name, one in fields.items()
    }
    return {"action": "accept", "content": said}


def use(peer: Peer, person: Person, wanted: list[Any]) -> None:
    """Call each tool, read each resource, get each prompt; or make the calls that are wanted."""
    tools = {tool["name"]: tool for tool in peer.all("tools/list", "tools")}
    calls = wanted or [{"name": name, "arguments": sample(tool)} for name, tool in tools.items()]
    for call in calls:
        given = {name: value for name, value in call["arguments"].items() if value is not None}
        call["arguments"] = given  # the door refuses a null where the schema wants something else
        tool = tools.get(call["name"])
        answer = peer.call(call, tool)
        while person.consents(answer):
            answer = peer.call(call, tool)
        say(answer)
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
    person = Person(name, sys.argv[-1], context)
    register(name, sys.argv[-1], person)
    try:
        use(Peer(name), person, context.get("toolCalls", []))
    finally:
        move(name, "retired")


if __name__ == "__main__":
    main()
