"""Input given over REST: by whom a task asks, and to what it asks."""

import asyncio
import json
from typing import Any

import httpx2
import pytest

from interlock.contracts.task import TaskState
from services.gateway.model import Place, Snapshot
from tests.services.gateway.build import Gateway, World, eventually, key_of
from tests.services.gateway.http.test_rest import CALL, WAIT, hold, refused_with
from tests.services.gateway.http.test_rounds import ELICIT, SURE, asking

DECLARED = CALL | {"capabilities": {"elicitation": {}}}
NO = {"action": "decline"}
Client = httpx2.AsyncClient


async def asked(gateway: Gateway, client: Client, body: Any = DECLARED) -> Any:
    """A new task's document, as soon as it asks."""
    made = await client.post("/v1/tasks", json=body)
    assert made.status_code == 202, made.text
    return await asks(gateway, client, made.json()["id"])


async def asks(gateway: Gateway, client: Client, task_id: str, round_: int = 0) -> Any:
    """The task's document, as soon as it asks in that round."""
    place = Place("acme", task_id)

    def look() -> Snapshot | None:
        kept = gateway.shared.tasks[place].snapshot
        there = kept is not None and kept.state is TaskState.INPUT_REQUIRED
        return kept if there and kept is not None and kept.task.round == round_ else None

    await eventually(look)
    return (await client.get(f"/v1/tasks/{task_id}")).json()


async def give(client: Client, task: Any, responses: Any, **more: Any) -> httpx2.Response:
    headers = more.pop("headers", None)
    body = {"responses": responses, **more}
    return await client.post(f"/v1/tasks/{task['id']}/input", json=body, headers=headers)


def told(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


@pytest.mark.promise("tasks")
async def test_a_task_shows_what_it_asks_for_and_goes_on_with_it(gateway: Gateway) -> None:
    exact = '{ "elicitation":{},"made up": 1.0 }'
    body = '{"server":"crm","tool":"search","arguments":{"query":"a"},"capabilities":' + exact + "}"
    gateway.authority.judge = asking({"sure": ELICIT}, {"sure": ELICIT})
    async with gateway.client() as client:
        made = (await client.post("/v1/tasks", content=body)).json()
        task = await asks(gateway, client, made["id"])
        assert (task["requests"], task["answered"], task["round"]) == ({"sure": ELICIT}, [], 0)
        taken = await give(client, task, {"sure": SURE}, round=0)
        assert taken.status_code == 202
        assert taken.headers["location"].endswith(task["id"])
        assert taken.json()["state"] in ("submitted", "input_required")
        again = await asks(gateway, client, task["id"], 1)
        ended = await give(client, again, {"sure": NO}, headers=WAIT)
    assert (ended.status_code, ended.json()["state"]) == (200, "succeeded")
    assert "requests" not in ended.json()
    rounds = [one.body for one in gateway.authority.asked]
    assert [json.loads(one.given or "null") for one in rounds] == [
        None,
        {"sure": SURE},
        {"sure": NO},
    ]
    assert {one.client.capabilities for one in rounds} == {exact}


async def test_responses_are_kept_to_the_letter_until_all_are_there(gateway: Gateway) -> None:
    gateway.authority.judge = asking({"name": ELICIT, "age": ELICIT})
    exact = '{ "action":"accept", "content": {"n": 1.0} }'
    async with gateway.client() as client:
        task = await asked(gateway, client)
        some = await give(client, task, {"age": NO})
        assert (some.status_code, some.json()["state"]) == (202, "input_required")
        assert some.json()["answered"] == ["age"]
        assert some.json()["requests"] == task["requests"], "exact, whether answered or not"
        url = f"/v1/tasks/{task['id']}/input"
        rest = await client.post(url, content='{"responses": {"name": ' + exact + "}}")
        assert rest.status_code == 202
        await eventually(lambda: len(gateway.authority.asked) == 2)
    given = gateway.authority.asked[1].body.given or ""
    assert json.loads(given) == {"age": NO, "name": json.loads(exact)}
    assert exact in given


@pytest.mark.parametrize("who", ["other", "olga", "spy"])
async def test_nobody_but_its_principal_gives_a_task_input(gateway: Gateway, who: str) -> None:
    gateway.authority.judge = asking({"sure": ELICIT})
    async with gateway.client() as client, gateway.client(who) as stranger:
        task = await asked(gateway, client)
        assert told(await give(stranger, task, {"sure": SURE})) == (404, "not_found")
        assert told(await give(client, {"id": "nope"}, {"sure": SURE})) == (404, "not_found")
    assert len(gateway.authority.asked) == 1
    await refused_with(gateway, "not_found")


async def test_a_task_that_asks_for_nothing_says_how_it_stands(gateway: Gateway) -> None:
    async with gateway.client() as client:
        task = (await client.post("/v1/tasks", json=CALL, headers=WAIT)).json()
        ended = await give(client, task, {"sure": SURE})
        gateway.authority.judge = hold
        held = (await client.post("/v1/tasks", json=CALL, headers={"Prefer": "wait=1"})).json()
        waits = await give(client, held, {})
    assert told(ended) == told(waits) == (409, "conflict")
    assert ended.json()["state"] == "succeeded"
    assert "`succeeded`" in ended.json()["detail"]
    assert "`held`" in waits.json()["detail"]


async def test_the_first_answer_counts_and_the_same_again_is_no_other(gateway: Gateway) -> None:
    gateway.authority.judge = asking({"name": ELICIT, "age": ELICIT})
    async with gateway.client() as client:
        task = await asked(gateway, client)
        for _ in range(2):
            assert (await give(client, task, {"name": SURE})).status_code == 202
        other = await give(client, task, {"name": NO, "age": NO})
        assert told(other) == (409, "conflict")
        assert "`name`" in other.json()["detail"]
        shown = (await client.get(f"/v1/tasks/{task['id']}")).json()
    assert shown["answered"] == ["name"], "nothing of a refused input is kept"


async def test_an_answer_to_a_round_is_not_taken_for_one_to_the_next(gateway: Gateway) -> None:
    gateway.authority.judge = asking({"sure": ELICIT}, {"sure": ELICIT})
    async with gateway.client() as client:
        task = await asked(gateway, client)
        await give(client, task, {"sure": SURE}, round=0)
        await asks(gateway, client, task["id"], 1)
        late = await give(client, task, {"sure": SURE}, round=0)
    assert told(late) == (409, "conflict")
    assert late.json()["round"] == 1
    assert len(gateway.authority.asked) == 2


async def test_answers_at_the_same_time_are_one_round(gateway: Gateway) -> None:
    gateway.authority.judge = asking({"sure": ELICIT}, {"sure": ELICIT})
    async with gateway.client() as client:
        task = await asked(gateway, client)
        given = [give(client, task, {"sure": one}, round=0) for one in (SURE, NO) * 4]
        answers = await asyncio.gather(*given)
        again = await asks(gateway, client, task["id"], 1)
    assert {one.status_code for one in answers} == {202, 409}
    taken = {index % 2 for index, one in enumerate(answers) if one.status_code == 202}
    assert len(taken) == 1, "one of the two was first, and counts"
    assert again["answered"] == []
    assert [one.body.task.round for one in gateway.authority.asked] == [0, 1]


async def test_what_is_not_asked_for_is_named_with_what_is(gateway: Gateway) -> None:
    gateway.authority.judge = asking({"name": ELICIT, "age": ELICIT})
    async with gateway.client() as client:
        task = await asked(gateway, client)
        await give(client, task, {"age": NO})
        wrong = await give(client, task, {"name": SURE, "nmae": SURE})
        empty = await give(client, task, {})
    assert told(wrong) == told(empty) == (422, "invalid")
    assert wrong.json()["violations"] == [{"at": "/responses/nmae", "what": "is not asked for"}]
    assert wrong.json()["asked"] == empty.json()["asked"] == ["name"]
    assert "does not ask for `nmae`; it asks for `name`" in wrong.json()["detail"]


BAD = [
    (b"[]", 400, "bad_request"),
    (b'{"responses":{"a":{},"a":{}}}', 400, "bad_request"),
    (b"{}", 422, "invalid"),
    (b'{"responses":[]}', 422, "invalid"),
    (b'{"responses":{"sure":"yes"}}', 422, "invalid"),
    (b'{"responses":{"sure":{}},"round":"0"}', 422, "invalid"),
    (b'{"responses":{"sure":{}},"more":1}', 422, "invalid"),
]


@pytest.mark.parametrize(("body", "status", "code"), BAD)
async def test_bad_input_is_refused(gateway: Gateway, body: bytes, status: int, code: str) -> None:
    async with gateway.client() as client:
        answer = await client.post("/v1/tasks/any/input", content=body)
    assert told(answer) == (status, code)


@pytest.mark.parametrize("capabilities", [[], "all", None, {"elicitation": 5}])
async def test_capabilities_are_those_of_mcp(gateway: Gateway, capabilities: Any) -> None:
    async with gateway.client() as client:
        answer = await client.post("/v1/tasks", json=CALL | {"capabilities": capabilities})
    assert told(answer) == (422, "invalid")
    assert "/capabilities" in answer.json()["detail"]


@pytest.mark.parametrize("body", [CALL, CALL | {"capabilities": {}}])
async def test_without_capabilities_nothing_is_declared(gateway: Gateway, body: Any) -> None:
    async with gateway.client() as client:
        assert (await client.post("/v1/tasks", json=body, headers=WAIT)).status_code == 200
    assert gateway.authority.asked[0].body.client.capabilities == "{}"


async def test_a_server_that_only_wants_to_be_asked_again_gets_no_responses(
    gateway: Gateway,
) -> None:
    gateway.authority.judge = asking({})
    async with gateway.client() as client:
        for body in (None, CALL):  # who declares no capabilities can do that, too
            task = await asked(gateway, client, *([body] if body else []))
            assert (await give(client, task, {}, headers=WAIT)).json()["state"] == "succeeded"


async def test_a_prompt_takes_input_too_on_any_replica(suite: World) -> None:
    suite.authority.judge = asking({"sure": ELICIT})
    body = {"server": "crm", "kind": "prompt", "arguments": {"name": "greeting"}}
    async with suite.gateway() as one, suite.gateway() as two:
        two.host.suite = one.host.suite
        async with one.client() as a, two.client() as b:
            task = await asked(one, a, body | {"capabilities": {"elicitation": {}}})
            given = await give(b, task, {"sure": SURE}, headers=WAIT)
    assert (given.status_code, given.json()["state"]) == (200, "succeeded")


async def test_a_token_narrowed_to_something_else_gives_no_input(gateway: Gateway) -> None:
    gateway.authority.judge = asking({"sure": ELICIT})
    headers = {"Authorization": f"Bearer {key_of('narrow')}"}
    async with gateway.client() as client:
        task = await asked(gateway, client)
        answer = await give(client, task, {"sure": SURE}, headers=headers)
    assert told(answer) == (403, "insufficient_scope")
