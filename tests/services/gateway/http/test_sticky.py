"""Sessions of 2025-11-25: who has one, and what a server may ask in it."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from interlock.bus import Effects, Envelope
from interlock.contracts.access import ApiKeyRecord
from interlock.contracts.requests import TaskAuthenticated
from interlock.contracts.task import Principal, PrincipalKind, digest_of
from interlock.identity.caller import LEEWAY
from interlock.state import API_KEYS
from interlock.testing import build
from services.gateway.model import Place
from services.gateway.settings import Settings
from services.gateway.store import MemorySessions
from tests.services.gateway.build import Gateway, World, eventually, now
from tests.services.gateway.http.raw import message, post
from tests.services.gateway.http.sitting import (
    OLDER,
    STICKY,
    Sitting,
    handshake,
    older_call,
    request,
    sitting,
)
from tests.services.gateway.http.test_features import NOTE
from tests.services.gateway.http.test_rest import WAIT, nothing, refusals, refused_with
from tests.services.gateway.http.test_rounds import ELICIT, SURE, asking
from tests.services.gateway.http.test_stream import tell
from tests.services.gateway.http.test_subscriptions import offer
from tests.services.gateway.http.test_telling import busy

SAMPLE = {"method": "sampling/createMessage", "params": {"messages": [], "maxTokens": 9}}
ROOTS = {"method": "roots/list"}
NO, LATER = {"action": "decline"}, {"action": "cancel"}
SAMPLED = {"role": "assistant", "content": {"type": "text", "text": "4"}, "model": "m"}
FOUND = {"roots": [{"uri": "file:///a"}]}
EACH = pytest.mark.parametrize(
    ("asked", "answer"),
    [(ELICIT, SURE), (ELICIT, NO), (ELICIT, LATER), (SAMPLE, SAMPLED), (ROOTS, FOUND)],
    ids=["accept", "decline", "cancel", "sampling", "roots"],
)


@pytest.fixture
async def gateway(suite: World) -> AsyncIterator[Gateway]:
    async with suite.gateway(STICKY) as running:
        yield running


def text_of(answered: Any) -> str:
    told: str = answered["result"]["content"][0]["text"]
    return told


# -- asking ---------------------------------------------------------------------------------------


@EACH
@pytest.mark.promise("sessions")
async def test_what_a_call_asks_is_put_on_its_stream_and_the_answer_is_a_round(
    gateway: Gateway, asked: Any, answer: Any
) -> None:
    gateway.authority.judge = asking({"it": asked})
    async with sitting(gateway) as client, client.call() as call:
        question = await call.next()
        assert {key: question[key] for key in asked} == asked
        taken = await client.answer(question["id"], result=answer)
        assert (taken.status_code, taken.content) == (202, b"")
        ended = await call.next()
    assert ended["id"] == 7
    assert json.loads(text_of(ended)) == {"it": answer}
    first, second = (one.body for one in gateway.authority.asked)
    assert (first.task.id, second.task.round) == (second.task.id, 1)
    assert json.loads(second.given or "") == {"it": answer}
    assert json.loads(first.client.capabilities) == {"elicitation": {}, "sampling": {}, "roots": {}}


@pytest.mark.parametrize(
    ("method", "kind"), [("prompts/get", "prompt"), ("resources/read", "read")]
)
async def test_so_is_what_a_prompt_and_a_read_ask(gateway: Gateway, method: str, kind: str) -> None:
    offer(gateway, "crm:read")
    gateway.authority.judge = asking({"it": ELICIT})
    named = {"name": "greet"} if kind == "prompt" else {"uri": NOTE}
    async with (
        sitting(gateway, path="/servers/crm/mcp") as client,
        client.call(request(method, 7, **named)) as call,
    ):
        question = await call.next()
        assert question["method"] == "elicitation/create"
        await client.answer(question["id"], result=NO)
        assert (await call.next())["id"] == 7
    assert [one.body.task.kind for one in gateway.authority.asked] == [kind, kind]


async def test_several_questions_and_rounds_are_each_put_once(gateway: Gateway) -> None:
    gateway.authority.judge = asking({"a": ELICIT, "b": SAMPLE}, {"a": ROOTS})
    async with sitting(gateway) as client, client.call() as call:
        questions = [await call.next() for _ in range(2)]
        assert [one["method"] for one in questions] == [ELICIT["method"], SAMPLE["method"]]
        await client.answer(questions[1]["id"], result=SAMPLED)
        await client.answer(questions[0]["id"], result=NO)
        third = await call.next()
        assert third["method"] == ROOTS["method"]
        await client.answer(third["id"], result=FOUND)
        ended = await call.next()
    assert json.loads(text_of(ended)) == {"a": FOUND}
    assert len({one["id"] for one in (*questions, third)}) == 3


async def test_the_client_that_answers_may_meet_another_replica(suite: World) -> None:
    suite.authority.judge = asking({"it": ELICIT})
    async with suite.gateway(STICKY) as one, suite.gateway(STICKY) as two, two.client() as other:
        async with sitting(one) as client, client.call() as call:
            question = await call.next()
            at_two = Sitting(other, client.path, client.id)
            assert (await at_two.answer(question["id"], result=SURE)).status_code == 202
            assert json.loads(text_of(await call.next())) == {"it": SURE}


def key(expires_at: datetime) -> ApiKeyRecord:
    """Copilot's, good until then and for the leeway that clocks are given."""
    return ApiKeyRecord(
        tenant="acme",
        key_id="copilot",
        secret_digest=digest_of("secret"),
        principal=Principal(tenant="acme", kind=PrincipalKind.AGENT, name="copilot"),
        expires_at=expires_at,
    )


@pytest.mark.parametrize("how", ["revoked", "over"])
async def test_a_call_that_waits_for_its_client_ends_with_the_clients_access_and_its_task_waits_on(
    gateway: Gateway, how: str
) -> None:
    gateway.authority.judge = asking({"it": ELICIT})
    soon = key(now() - LEEWAY + timedelta(seconds=4))
    async with sitting(gateway) as client:
        if how == "over":
            gateway.state.publish(API_KEYS, "acme", "copilot", soon)
            await gateway.host.reader.load()
        async with client.call() as call:
            question = await call.next()
            if how == "revoked":
                gateway.state.publish(API_KEYS, "acme", "copilot", None)
            ended = await call.next()
        assert ended["id"] == 7
        assert ("expired" in ended["error"]["message"]) is (how == "over")
        assert (await client.answer(question["id"], result=SURE)).status_code == 401
        assert not gateway.authority.asked[1:]
        gateway.state.publish(API_KEYS, "acme", "copilot", key(now() + timedelta(hours=1)))
        await gateway.host.reader.load()
        async with client.call() as again:  # the same call joins its task, which asks it
            assert (await again.next())["id"] == question["id"]
            await client.answer(question["id"], result=SURE)
            assert json.loads(text_of(await again.next())) == {"it": SURE}


async def test_an_error_is_an_answer_that_is_told_in_words(gateway: Gateway) -> None:
    gateway.authority.judge = asking({"it": SAMPLE})
    async with sitting(gateway) as client, client.call() as call:
        question = await call.next()
        error = {"code": -1, "message": "the user said no"}
        assert (await client.answer(question["id"], error=error)).status_code == 202
        given = json.loads(text_of(await call.next()))
    assert given == {"it": "the client answered with error `-1`: the user said no"}


async def test_nobody_is_asked_for_what_the_handshake_did_not_declare(gateway: Gateway) -> None:
    gateway.authority.judge = asking({"it": ELICIT})
    async with sitting(gateway, sampling={}) as client:
        told = (await client.post(older_call())).json()
    assert told["result"]["isError"]
    assert "waits for input" in text_of(told)


async def test_a_client_without_a_session_is_served_and_asked_nothing(gateway: Gateway) -> None:
    gateway.authority.judge = asking({"it": ELICIT})
    async with gateway.client() as http:
        told = (await post(http, older_call(), headers=OLDER)).json()
    assert "waits for input" in text_of(told)
    assert gateway.authority.asked[0].body.client.capabilities == "{}"


async def test_a_client_that_goes_away_cancels_nothing_and_is_asked_again_when_it_asks_again(
    gateway: Gateway,
) -> None:
    gateway.authority.judge = asking({"it": ELICIT})
    async with sitting(gateway) as client:
        async with client.call() as call:
            first = await call.next()
        task_id = gateway.authority.asked[0].body.task.id
        await eventually(lambda: not gateway.shared.kept(Place("acme", task_id)).waited_for)
        shown = (await client.http.get(f"/v1/tasks/{task_id}")).json()
        assert (shown["state"], shown["requests"]) == ("input_required", {"it": ELICIT})
        async with client.call(older_call(request_id=8)) as call:
            again = await call.next()
            assert again["id"] == first["id"]
            await client.answer(first["id"], result=SURE)
            assert json.loads(text_of(await call.next())) == {"it": SURE}
    assert gateway.authority.cancelled.empty()
    assert {one.body.task.id for one in gateway.authority.asked} == {task_id}


async def test_a_replica_that_goes_in_mid_round_loses_no_answer(suite: World) -> None:
    suite.authority.judge = asking({"it": ELICIT})
    async with suite.gateway(STICKY) as two, two.client() as other:
        async with suite.gateway(STICKY) as one, sitting(one) as client, client.call() as call:
            question = await call.next()
            one.host.stopping.set()
            ended = await call.next()
        assert "waits for input" in text_of(ended)
        task_id = ended["result"]["_meta"]["dev.interlock/taskId"]
        at_two = Sitting(other, client.path, client.id)
        assert (await at_two.answer(question["id"], result=SURE)).status_code == 202
        shown = (await other.get(f"/v1/tasks/{task_id}", headers=WAIT)).json()
    assert shown["state"] == "succeeded"
    assert suite.authority.cancelled.empty()


async def test_a_client_may_think_for_longer_than_a_task_may_take_to_start(suite: World) -> None:
    suite.authority.judge = asking_once
    impatient = Settings(sticky_sessions=True, mcp_wait_seconds=0.1)
    async with suite.gateway(impatient) as gateway:
        async with sitting(gateway) as client, client.call() as call:
            question = await call.next()
            await client.answer(question["id"], result=SURE)
            ending = asyncio.ensure_future(call.next())
            await asyncio.wait({ending}, timeout=2)  # the replica looks every second
            assert not ending.done()
            await tell(gateway, build.succeeded(gateway.authority.asked[-1].body.task))
            assert (await ending)["result"]["content"] == []


async def asking_once(envelope: Envelope[TaskAuthenticated]) -> Effects:
    return [] if envelope.body.task.round else await asking({"it": ELICIT})(envelope)


async def test_a_question_that_nobody_waits_for_any_more_is_taken_back(gateway: Gateway) -> None:
    gateway.authority.judge = asking({"it": ELICIT})
    async with sitting(gateway) as client, client.call() as call:
        question = await call.next()
        task = gateway.authority.asked[0].body.task
        await tell(gateway, build.cancelled(task))
        taken_back, ended = await call.next(), await call.next()
    assert taken_back["method"] == "notifications/cancelled"
    assert taken_back["params"]["requestId"] == question["id"]
    assert "was cancelled" in text_of(ended)


# -- answers that are none ------------------------------------------------------------------------


@pytest.mark.parametrize("request_id", [1, "7", None, "nobody/it#0", "a#b", "/#", "x/y#-1"])
async def test_an_answer_to_what_was_never_asked_is_refused_without_harm(
    gateway: Gateway, request_id: Any
) -> None:
    async with sitting(gateway) as client:
        told = await client.answer(request_id, result=SURE)
        assert told.status_code == 400
        assert told.json()["id"] is None
        assert (await client.post(request("ping"))).status_code == 200, "the session goes on"
    refusal = await eventually(lambda: next(iter(refusals(gateway)), None))
    assert refusal.code in ("bad_request", "not_found")


async def test_a_second_answer_is_refused_and_the_first_counts(gateway: Gateway) -> None:
    gateway.authority.judge = asking({"a": ELICIT, "b": ELICIT})
    async with sitting(gateway) as client, client.call() as call:
        a, b = [await call.next() for _ in range(2)]
        assert (await client.answer(a["id"], result=SURE)).status_code == 202
        assert (await client.answer(a["id"], result=SURE)).status_code == 202, "the same again"
        other = await client.answer(a["id"], result=NO)
        assert other.status_code == 400
        assert "another answer" in other.json()["error"]["message"]
        await client.answer(b["id"], result=NO)
        assert json.loads(text_of(await call.next())) == {"a": SURE, "b": NO}
        late = await client.answer(b["id"], result=NO)
        assert (late.status_code, "asks for no input" in late.text) == (400, True)
    assert len(gateway.authority.asked) == 2
    await refused_with(gateway, "conflict")


@pytest.mark.parametrize("said", [{"result": 1}, {"result": {}, "error": {}}, {"error": "no"}])
async def test_an_answer_that_is_neither_result_nor_error_is_refused(
    gateway: Gateway, said: Any
) -> None:
    gateway.authority.judge = asking({"it": ELICIT})
    async with sitting(gateway) as client, client.call() as call:
        question = await call.next()
        assert (await client.answer(question["id"], **said)).status_code == 400
        assert (await client.answer(question["id"], result=SURE)).status_code == 202
        await call.next()


async def test_nobody_answers_for_another(gateway: Gateway) -> None:
    gateway.authority.judge = asking({"it": ELICIT})
    async with sitting(gateway) as client, client.call() as call, sitting(gateway, "other") as spy:
        question = await call.next()
        told = await spy.answer(question["id"], result=NO)
        assert told.status_code == 400
        await client.answer(question["id"], result=SURE)
        assert json.loads(text_of(await call.next())) == {"it": SURE}


# -- who has a session ----------------------------------------------------------------------------


async def test_without_the_setting_there_are_no_sessions(suite: World) -> None:
    async with suite.gateway() as plain, plain.client() as http:
        told = await post(http, handshake(elicitation={}), headers=OLDER)
        made_up = await post(http, request("ping"), headers=OLDER | {"Mcp-Session-Id": "x"})
        assert (await http.get("/mcp", headers=OLDER)).status_code == 405
    assert told.status_code == made_up.status_code == 200
    assert "mcp-session-id" not in told.headers
    assert "listChanged" not in json.loads(told.text.split("data: ")[1])["result"]["capabilities"]


async def test_an_id_is_long_and_never_the_same(gateway: Gateway) -> None:
    async with sitting(gateway) as one, sitting(gateway) as two:
        assert one.id != two.id
        assert min(len(one.id), len(two.id)) >= 43
        assert one.id.isascii()


async def test_a_session_is_its_callers_and_its_endpoints(gateway: Gateway) -> None:
    async with sitting(gateway) as mine, gateway.client("other") as other:
        foreign = Sitting(other, mine.path, mine.id)
        elsewhere = Sitting(mine.http, "/servers/crm/mcp", mine.id)
        unknown = Sitting(mine.http, mine.path, "0" * 43)
        told = [await one.post(request("ping")) for one in (foreign, elsewhere, unknown)]
        assert {one.status_code for one in told} == {404}
        assert len({one.text for one in told}) == 1, "a foreign id looks unknown"
        for one in (foreign, elsewhere, unknown):
            for method in ("GET", "DELETE"):
                answer = await one.http.request(method, one.path, headers=one.headers)
                assert answer.status_code == 404
        assert (await mine.post(request("ping"))).status_code == 200
    await refused_with(gateway, "not_found")


async def test_a_session_ends_when_its_client_says_so(gateway: Gateway) -> None:
    async with sitting(gateway) as client, sitting(gateway) as another:
        for status in (204, 404):
            told = await client.http.delete("/mcp", headers=client.headers)
            assert told.status_code == status
        assert (await client.post(request("tools/list"))).status_code == 404
        assert (await another.post(request("tools/list"))).status_code == 200


async def test_a_session_ends_when_it_was_idle_for_too_long(suite: World) -> None:
    clock = [0.0]
    suite.sessions = MemorySessions(60, lambda: clock[0])
    async with suite.gateway(STICKY) as gateway, sitting(gateway) as client:
        for seconds, status in ((59, 200), (59, 200), (61, 404)):
            clock[0] += seconds
            assert (await client.post(request("ping"))).status_code == status


async def test_a_principal_has_so_many_sessions_and_no_more(suite: World) -> None:
    few = Settings(sticky_sessions=True, sessions_per_principal=2)
    async with suite.gateway(few) as gateway, sitting(gateway) as one, sitting(gateway):
        refused = await post(one.http, handshake(), headers=OLDER)
        assert refused.status_code == 429
        assert "DELETE" in refused.json()["detail"]
        async with sitting(gateway, "other"):
            pass
        await one.http.delete("/mcp", headers=one.headers)
        async with sitting(gateway):
            pass


def test_a_session_does_not_end_under_its_call() -> None:
    with pytest.raises(ValueError, match="sessions would end under calls"):
        Settings(session_idle_seconds=60)


async def test_capabilities_without_bound_are_refused(gateway: Gateway) -> None:
    async with gateway.client() as http:
        large = handshake(elicitation={"x": "y" * 20_000})
        told = await post(http, large, headers=OLDER)
    assert told.status_code == 413


async def test_a_get_or_a_delete_names_its_session(gateway: Gateway) -> None:
    async with gateway.client() as http:
        for method in ("GET", "DELETE"):
            told = await http.request(method, "/mcp", headers=OLDER)
            assert (told.status_code, "Mcp-Session-Id" in told.text) == (400, True)
        assert (await http.put("/mcp", headers=OLDER)).status_code == 405


async def test_who_speaks_the_later_version_has_no_session(gateway: Gateway) -> None:
    given = {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/list"}
    headers = OLDER | given | {"Mcp-Session-Id": "made up"}
    async with gateway.client() as http:
        told = await post(http, message("tools/list"), headers=headers)
    assert told.status_code == 200


# -- what is remembered ---------------------------------------------------------------------------


async def test_a_session_remembers_the_level_from_which_on_it_is_told(gateway: Gateway) -> None:
    gateway.authority.judge = busy
    async with sitting(gateway) as client:
        await client.post(older_call("before"))
        told = await client.post(request("logging/setLevel", level="error"))
        assert told.status_code == 200
        await client.post(older_call("after"))
    assert [one.body.client.log_level for one in gateway.authority.asked] == ["info", "error"]


async def test_a_level_that_is_none_is_refused_with_those_that_are(gateway: Gateway) -> None:
    async with sitting(gateway) as client:
        told = await client.post(request("logging/setLevel", level="loud"))
    error = json.loads(told.text.split("data: ")[1])["error"]
    assert error["code"] == -32602
    assert "`loud`" in error["message"]
    assert "`emergency`" in error["message"]


async def test_a_cancellation_in_a_session_means_the_sessions_own_call(gateway: Gateway) -> None:
    gateway.authority.judge = nothing
    async with sitting(gateway) as one, sitting(gateway) as two:
        calls = [(one, older_call("of one")), (two, older_call("of two"))]
        waiting = [asyncio.ensure_future(client.post(body)) for client, body in calls]
        await eventually(lambda: len(gateway.shared.requests) == len(calls))
        said = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}}
        assert (await two.post(said)).status_code == 202
        cancelled = await asyncio.wait_for(gateway.authority.cancelled.get(), 5)
        for call in waiting:
            call.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    meant = {envelope.body.task.id: envelope.body for envelope in gateway.authority.asked}
    assert "of two" in meant[cancelled.task.id].arguments
    assert gateway.authority.cancelled.empty()
