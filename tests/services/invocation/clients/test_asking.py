"""What servers of either era ask of a client, and log, through real clients: HTTP and stdio."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from interlock.contracts.catalogue import StdioConnection
from interlock.contracts.task import Client
from interlock.samples.crm.app import Door
from interlock.samples.crm.trouble import Trouble
from services.invocation.clients import (
    LOOPBACK,
    AddressGuard,
    AskRefused,
    Connection,
    Reach,
    StdioCommand,
    UpstreamAnswer,
    UpstreamCall,
    UpstreamError,
    Upstreams,
)
from tests.conformance.everything.__main__ import everything
from tests.interlock.samples.serving import serving
from tests.services.invocation.clients.talking import Heard, result, talking, to

pytestmark = pytest.mark.filterwarnings(
    "ignore::mcp.shared.exceptions.MCPDeprecationWarning"  # of the servers here
)
PLAYING = str(Path(__file__).with_name("playing.py"))
ALL = Client(capabilities='{"elicitation":{"form":{}},"sampling":{},"roots":{}}')
LOUD = Client(log_level="debug")
NAME = '{"user_name":{"action":"accept","content":{"name":"ana"}}}'
FORM = {"action": "accept", "content": {"username": "ana", "email": "a@example.org"}}


@pytest.fixture(params=["2026-07-28", "2025-11-25"])
async def both(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """The URL of a server with everything, of either era."""
    async with _serving(handshake_only=request.param == "2025-11-25") as url:
        yield url


@pytest.fixture
async def old() -> AsyncIterator[str]:
    async with _serving(handshake_only=True) as url:
        yield url


@pytest.fixture
async def modern() -> AsyncIterator[str]:
    async with _serving(handshake_only=False) as url:
        yield url


@asynccontextmanager
async def _serving(*, handshake_only: bool) -> AsyncIterator[str]:
    app = Door(everything().streamable_http_app(), Trouble(), handshake_only)
    async with serving(app) as url:
        yield f"{url}/mcp"


def text(answer: UpstreamAnswer) -> str:
    said: str = json.loads(answer.result)["content"][0]["text"]
    return said


class Asked:
    """Whoever is asked; answers once `told` of them have been asked."""

    def __init__(self, answer: Any = FORM, together: int = 1) -> None:
        self._answer = answer
        self._together = together
        self._enough = asyncio.Event()
        self.heard: list[tuple[str, dict[str, Any]]] = []

    async def __call__(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        self.heard.append((method, params))
        if len(self.heard) >= self._together:
            self._enough.set()
        await asyncio.wait_for(self._enough.wait(), 20)
        if isinstance(self._answer, Exception):
            raise self._answer
        answer: dict[str, Any] = self._answer
        return answer


# -- 2026-07-28: the result is a question ---------------------------------------------------------


async def test_a_question_is_told_as_it_is_written_and_answered_in_another_call(
    modern: str, upstreams: Upstreams
) -> None:
    tool = "test_input_required_result_request_state"
    call = UpstreamCall(to(modern), tool, "{}", 10, client=ALL)
    asks = (await upstreams.call(call)).asks
    assert asks is not None and asks.request_state is not None
    ((key, request),) = json.loads(asks.requests).items()
    assert (key, request["method"]) == ("confirm", "elicitation/create")
    given = '{"confirm":{"action":"accept","content":{"ok":true}}}'
    again = UpstreamCall(
        to(modern), tool, "{}", 10, client=ALL, given=given, request_state=asks.request_state
    )
    assert text(await upstreams.call(again)) == "state-ok"


async def test_a_stream_may_end_with_a_question(modern: str, upstreams: Upstreams) -> None:
    tool = "test_streaming_elicitation"
    asked = await upstreams.call(UpstreamCall(to(modern), tool, "{}", 10, client=ALL))
    assert asked.asks is not None and "user_name" in asked.asks.requests
    again = UpstreamCall(to(modern), tool, "{}", 10, client=ALL, given=NAME)
    assert text(await upstreams.call(again)) == "Hello, ana!"


async def test_a_prompt_may_ask_too(modern: str, upstreams: Upstreams) -> None:
    name = "test_input_required_result_prompt"
    arguments = json.dumps({"name": name})
    call = UpstreamCall(to(modern), name, arguments, 10, client=ALL, method="prompts/get")
    asks = (await upstreams.call(call)).asks
    assert asks is not None and list(json.loads(asks.requests)) == ["user_context"]


@pytest.mark.parametrize(
    ("client", "keys"),
    [
        (Client(), None),
        (Client(capabilities='{"sampling":{}}'), ["thought"]),
        (ALL, ["thought", "opinion"]),
    ],
)
async def test_a_server_is_told_what_the_caller_declares(
    modern: str, upstreams: Upstreams, client: Client, keys: list[str] | None
) -> None:
    tool = "test_input_required_result_capabilities"
    answer = await upstreams.call(UpstreamCall(to(modern), tool, "{}", 10, client=client))
    found = None if answer.asks is None else list(json.loads(answer.asks.requests))
    assert found == keys


async def test_state_and_answers_go_out_byte_by_byte() -> None:
    bodies: list[bytes] = []

    async def talk(heard: Heard, writer: asyncio.StreamWriter) -> None:
        bodies.append(heard.body)
        writer.write(result('{"content":[]}', heard.message["id"]))

    given, state = '{ "a":\t{"n":10000000000000000000001} }', '"\\u00e9\\/"'
    upstreams = Upstreams(guard=AddressGuard(LOOPBACK))
    async with talking(talk) as url:
        await upstreams.call(
            UpstreamCall(to(url), "t", "{}", 10, client=LOUD, given=given, request_state=state)
        )
    await upstreams.close()
    (body,) = bodies
    assert b'"inputResponses":' + given.encode() + b"," in body
    assert b'"requestState":' + state.encode() + b"," in body
    meta = json.loads(body)["params"]["_meta"]
    assert meta["io.modelcontextprotocol/logLevel"] == "debug"


# -- before: it asks while the call goes on -------------------------------------------------------


async def test_an_older_server_asks_while_its_call_goes_on(old: str, upstreams: Upstreams) -> None:
    asked = Asked()
    call = UpstreamCall(
        to(old), "test_elicitation", '{"message":"who?"}', 10, client=ALL, on_ask=asked
    )
    assert text(await upstreams.call(call)) == (
        f"User response: action=accept, content={FORM['content']}"
    )
    ((method, params),) = asked.heard
    assert (method, params["message"]) == ("elicitation/create", "who?")
    assert set(params["requestedSchema"]["properties"]) == {"username", "email"}


async def test_an_older_server_asks_the_clients_model(old: str, upstreams: Upstreams) -> None:
    said = {"role": "assistant", "model": "m", "content": {"type": "text", "text": "Paris"}}
    call = UpstreamCall(
        to(old), "test_sampling", '{"prompt":"?"}', 10, client=ALL, on_ask=Asked(said)
    )
    assert text(await upstreams.call(call)) == "LLM response: Paris"


async def test_each_question_reaches_its_own_caller(old: str, upstreams: Upstreams) -> None:
    """Calls at the same time, all of them asking at the same time."""
    asked = [Asked(together=1) for _ in range(5)]
    answers = await asyncio.gather(
        *(
            upstreams.call(
                UpstreamCall(
                    to(old),
                    "test_elicitation",
                    json.dumps({"message": str(number)}),
                    20,
                    client=ALL,
                    on_ask=one,
                )
            )
            for number, one in enumerate(asked)
        )
    )
    assert len(answers) == 5
    assert [one.heard[0][1]["message"] for one in asked] == list("01234")


async def test_a_session_serves_one_asking_call_after_another(
    old: str, upstreams: Upstreams
) -> None:
    for _ in range(3):
        call = UpstreamCall(
            to(old), "test_elicitation", '{"message":"?"}', 10, client=ALL, on_ask=Asked()
        )
        await upstreams.call(call)
    (idle,) = upstreams._sessions._idle.values()
    assert len(idle) == 1


async def test_who_cannot_be_asked_is_an_error_for_the_server(
    old: str, upstreams: Upstreams
) -> None:
    refusing = Asked(AskRefused("the client did not declare `elicitation`"))
    arguments = '{"message":"?"}'
    call = UpstreamCall(to(old), "test_elicitation", arguments, 10, client=ALL, on_ask=refusing)
    with pytest.raises(UpstreamError, match="did not declare") as refused:
        await upstreams.call(call)
    assert refused.value.reach is Reach.ANSWERED
    with pytest.raises(UpstreamError, match="not supported"):
        await upstreams.call(UpstreamCall(to(old), "test_elicitation", arguments, 10))


async def test_thinking_costs_an_attempt_no_time(old: str, upstreams: Upstreams) -> None:
    loop = asyncio.get_running_loop()
    thought: asyncio.Future[dict[str, Any]] = loop.create_future()

    async def think(method: str, params: dict[str, Any]) -> dict[str, Any]:
        loop.call_later(2.0, thought.set_result, FORM)
        return await thought

    warm = UpstreamCall(to(old), "test_simple_text", "{}", 10, client=ALL, on_ask=think)
    await upstreams.call(warm)
    call = UpstreamCall(
        to(old), "test_elicitation", '{"message":"?"}', 1.5, client=ALL, on_ask=think
    )
    assert "accept" in text(await upstreams.call(call))


# -- logs -----------------------------------------------------------------------------------------


async def test_what_a_server_logs_is_told(both: str, upstreams: Upstreams) -> None:
    told: list[tuple[object, Any]] = []

    async def log(level: object, params: str) -> None:
        told.append((level, json.loads(params)["data"]))

    call = UpstreamCall(to(both), "test_tool_with_logging", "{}", 10, client=LOUD, on_log=log)
    await upstreams.call(call)
    assert [level for level, _ in told] == ["info"] * len(told) and len(told) >= 2


# -- stdio ----------------------------------------------------------------------------------------


@pytest.fixture
async def playing() -> AsyncIterator[Upstreams]:
    upstreams = Upstreams([StdioCommand("playing", sys.executable, (PLAYING,))])
    yield upstreams
    await upstreams.close()


async def test_a_process_asks_whoever_its_one_call_is_for(playing: Upstreams) -> None:
    asked = [Asked({"roots": [{"uri": f"file:///{n}"}]}, together=1) for n in range(2)]
    at = Connection("acme", "playing", StdioConnection(command="playing"))
    answers = await asyncio.gather(
        *(
            playing.call(UpstreamCall(at, "roots", "{}", 20, client=ALL, on_ask=one))
            for one in asked
        )
    )
    assert [json.loads(text(answer))["roots"][0]["uri"] for answer in answers] == [
        "file:///0",
        "file:///1",
    ]
