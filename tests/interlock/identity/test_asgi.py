"""A door lets in whom a token names, keeps the token to itself, and tells errors as problems."""

import json
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from interlock.contracts.access import AgentRecord
from interlock.errors import Forged, Refused, Unavailable, Unreadable
from interlock.identity.asgi import (
    answered,
    authenticate,
    challenged,
    metadata_url,
    preferred_wait,
    problem,
)
from interlock.identity.tokens import Tokens
from interlock.state import AGENTS, API_KEYS
from interlock.state.memory import MemoryState, MemoryStateReader
from tests.interlock.identity.build import OURS, api_key

KEY, RECORD = api_key()


@pytest.fixture
async def door(state: MemoryState, reader: MemoryStateReader, tokens: Tokens) -> TestClient:
    state.publish(AGENTS, "acme", "copilot", AgentRecord(tenant="acme", name="copilot"))
    state.publish(API_KEYS, "acme", RECORD.key_id, RECORD)
    await reader.load()

    async def show(request: Request) -> Response:
        caller = await authenticate(request, tokens, resource=OURS[1], scopes=("crm:read",))
        again = await authenticate(request, tokens)
        behind = dict(request.scope["headers"])
        return JSONResponse([caller.principal.name, again == caller, len(behind), repr(behind)])

    return TestClient(Starlette(routes=[Route("/", answered(show))]))


def test_a_token_names_the_caller_and_stops_at_the_door(door: TestClient) -> None:
    answer = door.get("/", headers={"Authorization": f"bearer {KEY}"})
    name, same, headers, behind = answer.json()
    assert (name, same) == ("copilot", True)
    assert headers
    assert "se_cret" not in behind


@pytest.mark.parametrize(
    ("headers", "code", "error"),
    [
        ({}, "missing_token", False),
        ({"Authorization": ""}, "invalid_token", True),
        ({"Authorization": "Basic YTpi"}, "invalid_token", True),
        ({"Authorization": "Bearer"}, "invalid_token", True),
        ({"Authorization": "Bearer x y"}, "invalid_token", True),
        ({"Authorization": "Bearer ilk_a_b"}, "invalid_token", True),
    ],
)
def test_without_a_good_token_the_door_says_how_to_get_one(
    door: TestClient, headers: dict[str, str], code: str, error: bool
) -> None:
    answer = door.get("/", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, code)
    challenge = answer.headers["www-authenticate"]
    assert challenge.startswith("Bearer ")
    where = "https://interlock.example/.well-known/oauth-protected-resource/mcp"
    assert f'resource_metadata="{where}"' in challenge
    assert 'scope="crm:read"' in challenge
    assert ('error="invalid_token"' in challenge) is error


def test_two_tokens_are_none(door: TestClient) -> None:
    headers = [("Authorization", f"Bearer {KEY}"), ("Authorization", f"Bearer {KEY}")]
    assert door.get("/", headers=headers).status_code == 401


def test_a_missing_scope_is_challenged_with_all_that_the_operation_needs() -> None:
    refused = Refused('scope "a" is missing', code="insufficient_scope", data={"missing": ["a"]})
    answer = problem(challenged(refused, OURS[0], ("a", "b")))
    assert answer.status_code == 403
    challenge = answer.headers["www-authenticate"]
    assert 'scope="a b", error="insufficient_scope"' in challenge
    assert 'error_description="scope ?a? is missing"' in challenge


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Refused("x", code="not_found"), 404),
        (Refused("x", code="conflict"), 409),
        (Refused("x", code="forbidden"), 403),
        (Refused("x", code="bad_arguments"), 400),
        (Refused("x"), 422),
        (Forged("x"), 403),
        (Unreadable("x"), 400),
        (Unavailable("x"), 503),
        (KeyError("x"), 500),
    ],
)
def test_each_error_has_its_status(error: Exception, status: int) -> None:
    answer = problem(error)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_problem_tells_programs_and_people() -> None:
    error = Refused("tool `x` is unknown", code="not_found", data={"status": 1, "near": ["y"]})
    assert _json(problem(error)) == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "code": "not_found",
        "detail": "tool `x` is unknown",
        "near": ["y"],
    }


def test_our_own_trouble_says_when_to_come_again() -> None:
    assert problem(Unavailable("x", retry_after=7)).headers["retry-after"] == "7"
    assert problem(Unavailable("x", retry_after=0.1)).headers["retry-after"] == "1"


def test_a_bug_shows_nothing() -> None:
    assert "secret" not in str(_json(problem(ValueError("the secret"))))


@pytest.mark.parametrize(
    ("resource", "url"),
    [
        ("https://a.example", "https://a.example/.well-known/oauth-protected-resource"),
        ("https://a.example/", "https://a.example/.well-known/oauth-protected-resource"),
        (
            "http://a.example:8080/servers/crm/mcp",
            "http://a.example:8080/.well-known/oauth-protected-resource/servers/crm/mcp",
        ),
    ],
)
def test_metadata_is_between_host_and_path(resource: str, url: str) -> None:
    assert metadata_url(resource) == url


@pytest.mark.parametrize(
    ("prefer", "wait"),
    [("wait=7", 7.0), ('respond-async, Wait="7";x=1', 7.0), ("wait=soon", None), ("", None)],
)
def test_how_long_a_caller_would_wait(prefer: str, wait: float | None) -> None:
    scope = {"type": "http", "headers": [(b"prefer", prefer.encode())]}
    assert preferred_wait(Request(scope)) == wait


def _json(answer: Response) -> Any:
    return json.loads(bytes(answer.body))
