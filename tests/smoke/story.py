"""What must work in a suite that was just deployed, told as one story with people of the realm.

Everything goes through the edge and the doors, with tokens of Keycloak, as anybody would do it.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx2 as httpx

from interlock.contracts.topics import SERVICES
from interlock.errors import Refused
from interlock.sdk import Interlock, Outcome
from tests.components.signing_in import SignIn, client_token

PATIENCE = 60.0
"""Seconds that anything may take to become true."""
PEOPLE = ("omar", "rita", "dana", "aldo")
"""Operator, reviewer, approver, auditor."""
AGENTS: Mapping[str, Mapping[str, list[str]]] = {
    "sales-copilot": {"permissions": ["crm:read"], "with_approval": []},
    "deal-desk": {"permissions": ["crm:read"], "with_approval": ["discount:grant"]},
}


SCOPES = {"sales-copilot": "crm:write", "deal-desk": "discount:grant"}
"""What each agent's token may say beside what it says anyway."""


class Failed(AssertionError):
    """Something is not as it must be."""


@dataclass(frozen=True)
class Place:
    """Where the suite is, and what it needs to be tried out."""

    url: str
    issuer: str
    upstream: str
    """The sample CRM's MCP endpoint, as invocation reaches it."""
    realm: Path
    """The passwords and secrets that deploy/secrets.sh made."""

    def secret(self, name: str) -> str:
        """By the placeholder's name in the realm."""
        lines = self.realm.read_text("utf-8").splitlines()
        return dict(line.split("=", 1) for line in lines)[name]


@dataclass(frozen=True)
class Cast:
    """Clients of the suite, each as somebody else."""

    who: Mapping[str, Interlock]

    def __getitem__(self, name: str) -> Interlock:
        return self.who[name]


def tokens(place: Place) -> dict[str, str]:
    """Everybody signs in: people with their password, agents with their secret."""
    signing_in = SignIn(place.issuer, "interlock-people")
    people = {
        name: signing_in.token(name, place.secret(f"{name.upper()}_PASSWORD")) for name in PEOPLE
    }
    agents = {
        name: client_token(
            place.issuer,
            name,
            place.secret(f"{name.upper().replace('-', '_')}_SECRET"),
            SCOPES[name],
        )
        for name in AGENTS
    }
    return people | agents


async def tell(place: Place, say: Callable[[str], None]) -> None:
    """The whole story; `Failed` where it does not go as it must."""
    await until(lambda: _ready(place), "every service is ready")
    say(f"{len(SERVICES)} services are ready behind {place.url}")
    given = await asyncio.to_thread(tokens, place)
    say(f"{len(given)} people and agents have tokens of {place.issuer}")
    async with cast_of(place, given) as cast:
        await until(lambda: _known(cast["omar"]), "the realm's tokens are believed")
        server = await _registered(cast, place)
        say(f"server `{server}` was registered by omar, and approved by rita")
        ended = [await act(cast, server) for act in (_allowed, _approved, _denied)]
        await _stepped_up(cast, server)
        say("a call ran; one was held, approved by dana, and ran; one was denied, one not let in")
        count = await _audited(cast, ended)
        say(f"aldo read the trail of all three; the ledger of {count} records verifies")
        await _watched(cast["omar"], place)
        say("every service says how much work waits for it")


@asynccontextmanager
async def cast_of(place: Place, given: Mapping[str, str]) -> AsyncIterator[Cast]:
    """A client for each token."""
    async with AsyncExitStack() as stack:
        yield Cast(
            {
                name: await stack.enter_async_context(Interlock(place.url, token))
                for name, token in given.items()
            }
        )


async def until(true: Callable[[], Awaitable[Any]], what: str) -> Any:
    """What `true` answers once that is something; `Failed` after `PATIENCE`."""
    try:
        async with asyncio.timeout(PATIENCE):
            while not (found := await true()):  # noqa: ASYNC110 another machine, maybe
                await asyncio.sleep(0.2)
            return found
    except TimeoutError:
        raise Failed(f"waited {PATIENCE:g} s in vain until {what}") from None


def expect(holds: object, what: str) -> None:
    """`Failed` with `what` unless it holds."""
    if not holds:
        raise Failed(what)


async def _ready(place: Place) -> bool:
    async with httpx.AsyncClient(timeout=10) as http:
        for name in SERVICES:
            try:
                answer = await http.get(f"{place.url}/{name}/health/ready")
            except httpx.TransportError:
                return False
            if answer.status_code != 200:
                return False
    return True


async def _known(operator: Interlock) -> bool:
    try:
        told = await operator.request("GET", "/auth/v1/whoami")
    except Refused:
        return False
    return "operator" in told["roles"]


async def _registered(cast: Cast, place: Place) -> str:
    """A server of its own for each run, and what its agents may do."""
    omar, rita = cast["omar"], cast["rita"]
    name = f"crm-{secrets.token_hex(3)}"
    for agent, given in AGENTS.items():
        await omar.request("PUT", f"/auth/v1/agents/{agent}", {"description": "smoke test"})
        await rita.request("PUT", f"/policy/v1/permissions/{agent}", given)
    asked = {
        "name": name,
        "capability": f"opportunities and discounts, smoke test {name}",
        "owner_team": "sales",
        "technical_owner": "omar",
        "environment": "development",
        "connection": {"transport": "streamable-http", "url": place.upstream},
        "required_scopes": ["crm:read"],
    }
    wait = {"Prefer": "wait=20"}
    shown = await omar.request("POST", "/registry/v1/servers", asked, wait)
    expect(shown["inspected"], f"the upstream was not inspected: {shown['inspect_error']}")
    tools = {
        "grant_discount": {"required_scopes": ["discount:grant"]},
        "update_stage": {"required_scopes": ["crm:write"]},
    }
    await omar.request("PATCH", f"/registry/v1/servers/{name}", {"tools": tools})
    for who, state in ((omar, "submitted"), (rita, "security_review"), (rita, "approved_dev")):
        move = {"to": state, "reason": "smoke test"}
        await who.request("POST", f"/registry/v1/servers/{name}/move", move)
    return name


async def _allowed(cast: Cast, server: str) -> Outcome:
    outcome = await cast["sales-copilot"].call(server, "search_opportunities", {"query": "fleet"})
    expect(outcome.succeeded, f"an allowed call ended as {outcome.document}")
    return outcome


async def _approved(cast: Cast, server: str) -> Outcome:
    wanted = {"opportunity_id": "opp-1", "percent": 5}
    handle = await cast["deal-desk"].submit(server, "grant_discount", wanted)

    async def held() -> Any:
        found = (await cast["dana"].request("GET", "/policy/v1/approvals"))["approvals"]
        return next((one for one in found if one["task"]["id"] == handle.id), None)

    hold = await until(held, "dana sees what is held")
    answer = {"reason": "smoke test", "digest": hold["digest"]}
    await cast["dana"].request("POST", f"/policy/v1/tasks/{handle.id}/approve", answer)
    outcome = await handle.outcome(PATIENCE)
    expect(outcome.succeeded, f"an approved call ended as {outcome.document}")
    return outcome


async def _denied(cast: Cast, server: str) -> Outcome:
    """Its token may say so, but nobody gave it the permission."""
    wanted = {"opportunity_id": "opp-1", "stage": "won"}
    outcome = await cast["sales-copilot"].call(server, "update_stage", wanted)
    expect(outcome.state == "denied", f"a call without its permission ended as {outcome.document}")
    expect("crm:write" in outcome.reason, f"the denial does not say why: {outcome.reason}")
    return outcome


async def _stepped_up(cast: Cast, server: str) -> None:
    """A token that does not say enough is told at the door what to ask for."""
    wanted = {"opportunity_id": "opp-1", "percent": 5}
    try:
        await cast["sales-copilot"].submit(server, "grant_discount", wanted)
    except Refused as error:
        expect(error.code == "insufficient_scope", f"it was refused otherwise: {error.detail}")
    else:
        raise Failed("a token without the tool's scope was let in")


async def _audited(cast: Cast, ended: list[Outcome]) -> int:
    """How many records the verified ledger has."""
    aldo = cast["aldo"]

    async def trail(task: str) -> Any:
        try:
            records = (await aldo.request("GET", f"/audit/v1/tasks/{task}"))["records"]
        except Refused:
            return None
        said = [one["type"].split(".")[-2] for one in records]
        return said if {"succeeded", "denied"} & {*said} else None

    for outcome in ended:
        said = await until(lambda task=outcome.id: trail(task), "the ledger has each task's end")  # type: ignore[misc]  # mypy does not infer a lambda's default
        expect("authenticated" in said, f"the trail of `{outcome.id}` has no beginning: {said}")

    async def proven() -> Any:
        report = await aldo.request("POST", "/audit/v1/verify", {})
        expect(report["ok"], f"the ledger does not hold: {report['text']}")
        return report if not report["unproven"] else None

    report = await until(proven, "every record is behind a signed checkpoint")
    expect(report["anchored"], "the ledger has no anchor")
    return int(report["records"])


async def _watched(operator: Interlock, place: Place) -> None:
    for name in SERVICES:
        told = await operator.request("GET", f"/{name}/v1/status")
        expect(told["ready"], f"`{name}` is not ready: {told['reasons']}")
        expect(told["dead"] == 0, f"`{name}` has dead letters: {told}")
        expect({"waiting", "oldest_seconds", "topics"} <= told.keys(), f"`{name}` tells {told}")
    async with httpx.AsyncClient(timeout=10) as http:
        exposed = await http.get(f"{place.url}/metrics")
    if exposed.status_code != HTTPStatus.UNAUTHORIZED:  # else they are Prometheus's alone
        named = 'interlock_backlog{service="gateway"' in exposed.text
        expect(named, "the metrics name no backlog")
