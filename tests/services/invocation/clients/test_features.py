"""What upstreams of either era offer beside tools, looked at and asked for."""

import json
from collections.abc import AsyncIterator

import pytest
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from services.invocation.clients import UpstreamCall, UpstreamError, Upstreams
from tests.conformance.everything.__main__ import everything
from tests.interlock.samples.serving import serving
from tests.services.invocation.clients.talking import to

TEXT = "test://static-text"


def handshake_only(app: ASGIApp) -> ASGIApp:
    """A server of before 2026-07-28: it refuses that version."""

    async def older(scope: Scope, receive: Receive, send: Send) -> None:
        said = dict(scope.get("headers", ()))
        if said.get(b"mcp-protocol-version") == b"2026-07-28":
            await Response(status_code=400)(scope, receive, send)
        else:
            await app(scope, receive, send)

    return older


@pytest.fixture(params=["2026-07-28", "2025-11-25"])
async def url(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    app = everything().streamable_http_app()
    older = request.param == "2025-11-25"
    async with serving(handshake_only(app) if older else app) as base:
        yield f"{base}/mcp"


def asked(url: str, method: str, name: str, arguments: object) -> UpstreamCall:
    return UpstreamCall(to(url), name, json.dumps(arguments), 10, method=method, task_id="task-1")


async def test_everything_that_it_offers_is_seen(url: str, upstreams: Upstreams) -> None:
    found = await upstreams.inspect(to(url))
    assert len(found.tools) > 20
    resources = {json.loads(one)["uri"] for one in found.resources}
    assert resources == {TEXT, "test://static-binary", "test://watched-resource"}
    assert [json.loads(one)["uriTemplate"] for one in found.templates] == [
        "test://template/{id}/data"
    ]
    assert "test_simple_prompt" in {json.loads(one)["name"] for one in found.prompts}
    assert found.completes


async def test_a_resource_is_read(url: str, upstreams: Upstreams) -> None:
    answer = await upstreams.call(asked(url, "resources/read", TEXT, {"uri": TEXT}))
    assert json.loads(answer.result)["contents"][0]["text"].startswith("This is the content")


async def test_a_prompt_is_given_with_its_arguments(url: str, upstreams: Upstreams) -> None:
    name = "test_prompt_with_arguments"
    given = {"name": name, "arguments": {"arg1": "ä", "arg2": "b"}}
    answer = await upstreams.call(asked(url, "prompts/get", name, given))
    assert "arg1='ä', arg2='b'" in json.loads(answer.result)["messages"][0]["content"]["text"]


async def test_an_argument_is_completed(url: str, upstreams: Upstreams) -> None:
    given = {
        "ref": {"type": "ref/prompt", "name": "test_prompt_with_arguments"},
        "argument": {"name": "arg1", "value": "par"},
    }
    answer = await upstreams.call(asked(url, "completion/complete", "", given))
    assert json.loads(answer.result)["completion"]["values"] == ["paris", "park", "party"]


async def test_what_is_not_there_is_the_upstreams_to_refuse(url: str, upstreams: Upstreams) -> None:
    with pytest.raises(UpstreamError) as failed:
        await upstreams.call(asked(url, "resources/read", "test://no", {"uri": "test://no"}))
    assert failed.value.error is not None
    assert json.loads(failed.value.error)["code"] in (-32602, -32002)
