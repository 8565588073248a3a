"""What the gateway's door turns away is in the ledger: each of a known caller, others counted."""

import os
import signal
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.chaos.truth import read_ledger
from tests.components.crm import REPEATABLE, SERVER, arguments
from tests.components.suite import until
from tests.components.world import AGENT, World, world

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
MODERN = "2026-07-28"
TOOL = f"{SERVER}__{REPEATABLE}"
EACH = 3
SCALE = ("--scale", "gateway=2")


def call(name: str = TOOL, given: Any = None) -> dict[str, Any]:
    meta = {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    params = {"name": name, "arguments": given or arguments(REPEATABLE, 1), "_meta": meta}
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}


def post(here: World, body: dict[str, Any], **headers: str) -> int:
    told = {
        "Authorization": f"Bearer {here.key}",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": MODERN,
        "Mcp-Method": "tools/call",
        "Mcp-Name": body["params"]["name"],
    }
    with httpx2.Client(base_url=here.suite.url, timeout=30) as client:
        return client.post("/mcp", json=body, headers=told | headers).status_code


def narrow(here: World) -> str:
    made = here.suite.ask("POST", "/auth/v1/keys", {"agent": AGENT, "token_scopes": ["mail:read"]})
    return f"Bearer {made['key']}"


def test_each_refused_request_is_in_the_ledger(tmp_path: Path) -> None:
    with world(tmp_path, *SCALE) as here:
        scoped = narrow(here)
        until(lambda: post(here, call(), Authorization=scoped) == 403, "the key is known")
        cases: dict[str, tuple[int, Callable[[], int]]] = {
            "invalid_token": (401, partial(post, here, call(), Authorization="Bearer ilk_no_no")),
            "insufficient_scope": (403, partial(post, here, call(), Authorization=scoped)),
            "not_found": (400, partial(post, here, call(f"{SERVER}__none"))),
            "protocol": (400, partial(post, here, call(), **{"Mcp-Name": "another"})),
            "forbidden": (403, partial(post, here, call(), Origin="http://evil.example")),
            "misdirected": (421, partial(post, here, call(), Host="evil.example")),
            "too_large": (413, partial(post, here, call(given={"query": "x" * 1_100_000}))),
            "invalid": (200, partial(post, here, call(given={"limit": "many"}))),
        }
        for code, (status, ask) in cases.items():
            assert [ask() for _ in range(EACH)] == [status] * EACH, code
        for pid in here.suite.pids("gateway"):
            os.kill(pid, signal.SIGTERM)  # then what was counted is stated at once
        found: Counter[str] = Counter()

        def stated() -> bool:
            nonlocal found
            found = read_ledger(here.suite, tmp_path / "export").refused
            return all(found[code] >= EACH for code in cases)

        until(here.suite.ready, "the suite is whole again")
        until(stated, "each refusal is in the ledger", within=60)
        exact = dict.fromkeys(cases, EACH)
        exact["insufficient_scope"] = found["insufficient_scope"]  # asked until the key was known
        assert {code: found[code] for code in cases} == exact
