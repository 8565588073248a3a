"""Resources, prompts and completion at the wire: lists at the door, the rest as tasks."""

import asyncio
import json
from typing import Any

import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import PromptReference

from interlock.bus import Effects, Envelope
from interlock.contracts.access import AgentRecord, PermissionRecord, PolicySetRecord, PolicyText
from interlock.contracts.catalogue import FeatureRecord, ServerRecord
from interlock.contracts.outcomes import TaskFailed, TaskSucceeded
from interlock.contracts.requests import TaskAuthenticated
from interlock.contracts.task import TaskKind, digest_of, request_digest
from interlock.state import AGENTS, CATALOGUE, POLICY
from tests.services.gateway.build import Gateway, server, tool
from tests.services.gateway.http.raw import frames, headers, message, post
from tests.services.gateway.http.test_rest import deny

NOTE = "notes://today"
SECRET_NOTE = "notes://secret/plan"
WIDGET = {"ui": {"resourceUri": "ui://crm/widget"}, "vendor.example/kept": True}
RULES = """
@reason("the plan is secret")
forbid (principal, action == Action::"read", resource == Resource::"crm__notes://secret/plan");
"""


def feature(key: str, **definition: Any) -> FeatureRecord:
    text = json.dumps(definition)
    return FeatureRecord(name=definition[key], definition=text, digest=digest_of(text))


def offering(name: str = "crm") -> ServerRecord:
    return server(name).model_copy(
        update={
            "required_scopes": ("crm:read",),
            "resources": (
                feature("uri", uri=NOTE, name="today", _meta=WIDGET),
                feature("uri", uri=SECRET_NOTE, name="plan"),
            ),
            "templates": (feature("uriTemplate", uriTemplate="notes://{day}", name="day"),),
            "prompts": (feature("name", name="greet", arguments=[{"name": "whom"}]),),
        }
    )


@pytest.fixture
def offered(gateway: Gateway) -> Gateway:
    """A gateway in front of a server with more than tools, one resource of it forbidden."""
    permissions = (PermissionRecord(agent="copilot", permissions=("crm:read",)),)
    rules = PolicySetRecord(
        tenant="acme",
        version=2,
        permissions=permissions,
        policies=(PolicyText(name="rules", text=RULES),),
    )
    gateway.state.publish(POLICY, "acme", "set", rules)
    gateway.state.publish(CATALOGUE, "acme", "crm", offering())
    return gateway


async def read(envelope: Envelope[TaskAuthenticated]) -> Effects:
    """An upstream of before 2026-07-28 that answers with what it was asked."""
    said = {"contents": [{"uri": NOTE, "text": envelope.body.arguments}], "vendor": [1]}
    return [TaskSucceeded(task=envelope.body.task, result=json.dumps(said))]


async def ask(gateway: Gateway, path: str, method: str, name: str | None = None, **p: Any) -> Any:
    async with gateway.client() as http:
        said = await post(http, message(method, **p), path=path, headers=headers(method, name))
    return said.json()


@pytest.mark.parametrize("era", ["2026-07-28", "legacy"])
@pytest.mark.promise("features")
async def test_the_official_client_reads_prompts_and_completes(offered: Gateway, era: str) -> None:
    async def judge(envelope: Envelope[TaskAuthenticated]) -> Effects:
        answers = {
            TaskKind.READ: {"contents": [{"uri": NOTE, "text": "buy milk"}]},
            TaskKind.PROMPT: {
                "messages": [{"role": "user", "content": {"type": "text", "text": "hello"}}]
            },
            TaskKind.COMPLETE: {"completion": {"values": ["ana"], "total": 1}},
        }
        task = envelope.body.task
        return [TaskSucceeded(task=task, result=json.dumps(answers[task.kind]))]

    offered.authority.judge = judge
    async with offered.client() as http:
        transport = streamable_http_client(f"{offered.url}/servers/crm/mcp", http_client=http)
        async with Client(transport, mode=era) as client:
            listed = [one.uri for one in (await client.list_resources()).resources]
            templates = (await client.list_resource_templates()).resource_templates
            prompts = [one.name for one in (await client.list_prompts()).prompts]
            note = await client.read_resource(NOTE)
            said = await client.get_prompt("greet", {"whom": "ana"})
            completed = await client.complete(
                PromptReference(name="greet"), {"name": "whom", "value": "a"}
            )
    assert listed == [NOTE]
    assert [one.uri_template for one in templates] == ["notes://{day}"]
    assert prompts == ["greet"]
    assert "buy milk" in str(note.contents[0])
    assert "hello" in str(said.messages[0])
    assert completed.completion.values == ["ana"]
    tasks = [one.body.task for one in offered.authority.asked]
    assert [one.kind for one in tasks] == [TaskKind.READ, TaskKind.PROMPT, TaskKind.COMPLETE]
    assert {one.tool for one in tasks} == {None}


async def test_definitions_are_listed_with_fields_that_nobody_here_knows(offered: Gateway) -> None:
    found = (await ask(offered, "/servers/crm/mcp", "resources/list"))["result"]
    assert found["resources"] == [{"uri": NOTE, "name": "today", "_meta": WIDGET}]
    assert (found["cacheScope"], found["resultType"]) == ("private", "complete")


async def test_where_servers_share_a_list_each_entry_says_whose_it_is(offered: Gateway) -> None:
    offered.state.publish(CATALOGUE, "acme", "erp", offering("erp"))
    resources = (await ask(offered, "/mcp", "resources/list"))["result"]["resources"]
    assert [one["uri"] for one in resources] == [
        "interlock://crm/notes://today",
        "interlock://erp/notes://secret/plan",
        "interlock://erp/notes://today",
    ]
    templates = (await ask(offered, "/mcp", "resources/templates/list"))["result"]
    assert templates["resourceTemplates"][0]["uriTemplate"] == "interlock://crm/notes://{day}"
    prompts = (await ask(offered, "/mcp", "prompts/list"))["result"]["prompts"]
    assert [one["name"] for one in prompts] == ["crm__greet", "erp__greet"]


@pytest.mark.parametrize("uri", ["interlock://crm/notes://today", NOTE, "notes://monday"])
async def test_the_upstream_is_asked_in_its_own_words(offered: Gateway, uri: str) -> None:
    """A plain URI too, where only one server lists it or has a template for it."""
    offered.authority.judge = read
    told = (await ask(offered, "/mcp", "resources/read", uri, uri=uri))["result"]
    body = offered.authority.asked[0].body
    own = uri.removeprefix("interlock://crm/")
    assert json.loads(body.arguments) == {"uri": own}
    assert body.task.request_digest == request_digest(TaskKind.READ, "crm", None, body.arguments)
    assert told["vendor"] == [1]
    assert (told["resultType"], told["cacheScope"], told["ttlMs"]) == ("complete", "private", 0)


async def test_a_uri_that_two_servers_have_must_say_whose_it_is(offered: Gateway) -> None:
    offered.state.publish(CATALOGUE, "acme", "erp", offering("erp"))
    error = (await ask(offered, "/mcp", "resources/read", NOTE, uri=NOTE))["error"]
    assert error["code"] == -32602
    assert "`interlock://crm/notes://today`, `interlock://erp/notes://today`" in error["message"]
    assert offered.authority.asked == []


async def test_arguments_of_a_prompt_travel_byte_for_byte(offered: Gateway) -> None:
    offered.authority.judge = read
    body = json.dumps(message("prompts/get", name="greet")).replace(
        '"name": "greet"', '"name":"greet", "arguments": {"whom" :"\\u00e4"}'
    )
    async with offered.client() as http:
        given = headers("prompts/get", "greet")
        await post(http, body, path="/servers/crm/mcp", headers=given)
    expected = '{"name":"greet","arguments":{"whom" :"\\u00e4"}}'
    assert offered.authority.asked[0].body.arguments == expected


async def test_a_denied_read_is_an_error_that_says_why(offered: Gateway) -> None:
    offered.authority.judge = deny
    error = (await ask(offered, "/servers/crm/mcp", "resources/read", NOTE, uri=NOTE))["error"]
    assert error["code"] == -32600
    assert "the `read` of server `crm` was denied" in error["message"]


async def test_an_upstreams_error_is_told_in_the_words_of_this_era(offered: Gateway) -> None:
    async def lost(envelope: Envelope[TaskAuthenticated]) -> Effects:
        error = json.dumps({"code": -32002, "message": "no such note", "data": {"uri": "x"}})
        return [
            TaskFailed(task=envelope.body.task, code="upstream_error", reason="no", error=error)
        ]

    offered.authority.judge = lost
    error = (await ask(offered, "/servers/crm/mcp", "resources/read", NOTE, uri=NOTE))["error"]
    assert error == {"code": -32602, "message": "no such note", "data": {"uri": "x"}}


async def test_a_token_without_the_servers_scope_is_challenged(offered: Gateway) -> None:
    async with offered.client("narrow") as http:
        said = await post(
            http,
            message("resources/read", uri=NOTE),
            path="/servers/crm/mcp",
            headers=headers("resources/read", NOTE),
        )
    assert said.status_code == 403
    assert 'scope="crm:read"' in said.headers["www-authenticate"]


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        ("read", {"uri": NOTE}),
        ("prompt", {"name": "greet", "arguments": {"whom": "ana"}}),
        ("complete", {"ref": {"type": "ref/prompt", "name": "greet"}, "argument": {}}),
    ],
)
async def test_rest_asks_for_them_too(
    offered: Gateway, kind: str, arguments: dict[str, Any]
) -> None:
    offered.authority.judge = read
    body = {"server": "crm", "kind": kind, "arguments": arguments}
    async with offered.client() as http:
        said = await http.post("/v1/tasks", json=body, headers={"Prefer": "wait=5"})
    assert (said.status_code, said.json()["state"], said.json()["kind"]) == (200, "succeeded", kind)


@pytest.mark.parametrize(
    "body",
    [
        {"server": "crm", "kind": "read", "arguments": {}},
        {"server": "crm", "kind": "read", "tool": "search", "arguments": {"uri": NOTE}},
        {"server": "crm"},
    ],
)
async def test_rest_refuses_what_names_nothing(offered: Gateway, body: dict[str, Any]) -> None:
    async with offered.client() as http:
        said = await http.post("/v1/tasks", json=body)
    assert (said.status_code, said.json()["code"]) == (422, "invalid")


async def test_a_list_that_changed_is_told_to_who_listens_and_sees_it(offered: Gateway) -> None:
    wanted = {"toolsListChanged": True, "promptsListChanged": True}
    body = message("subscriptions/listen", notifications=wanted)
    given = headers("subscriptions/listen", None)
    async with (
        offered.client() as http,
        http.stream("POST", "/mcp", json=body, headers=given) as stream,
    ):
        told = frames(stream)
        _, first = await anext(told)
        assert first["method"] == "notifications/subscriptions/acknowledged"
        for scope in ("crm:purge", "crm:read"):  # only the second one is theirs to see
            tools = (*server().tools, tool("new", scope))
            changed = offering().model_copy(update={"tools": tools})
            offered.state.publish(CATALOGUE, "acme", "crm", changed)
        async with asyncio.timeout(10):
            _, second = await anext(told)
        assert second["method"] == "notifications/tools/list_changed"
        assert second["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"] == 7
        offered.host.stopping.set()
        async with asyncio.timeout(10):
            _, last = await anext(told)
    assert last["result"]["resultType"] == "complete"


async def test_who_loses_access_is_told_of_nothing_more(offered: Gateway) -> None:
    body = message("subscriptions/listen", notifications={"toolsListChanged": True})
    given = headers("subscriptions/listen", None)
    async with (
        offered.client() as http,
        http.stream("POST", "/mcp", json=body, headers=given) as stream,
    ):
        told = frames(stream)
        await anext(told)
        gone = AgentRecord(tenant="acme", name="copilot", enabled=False)
        offered.state.publish(AGENTS, "acme", "copilot", gone)
        async with asyncio.timeout(10):
            _, last = await anext(told)
    assert last["result"]["resultType"] == "complete"
