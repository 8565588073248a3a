"""The calls that carry messages: as the client itself would make them, and what comes of them."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest
from aiobotocore.config import AioConfig
from aiobotocore.httpsession import AIOHTTPSession
from aiobotocore.session import get_session
from aiohttp import web
from botocore.exceptions import ClientError, NoCredentialsError, ReadTimeoutError
from botocore.parsers import ResponseParserError

from interlock.bus.sqs.broker import Connection, Place
from interlock.bus.sqs.broker.calls import Target
from interlock.bus.sqs.broker.wire import pack, unpack
from tests.components.elasticmq import CREDENTIALS
from tests.interlock.bus.harness import clock
from tests.interlock.bus.sqs.proxy import Proxy, pass_on, proxy, refusal

SAME = ("content-type", "x-amz-target", "x-amzn-query-mode", "user-agent", "host")


@pytest.fixture
async def between(sqs_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Proxy]:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    async with proxy(sqs_endpoint) as made:
        yield made


@pytest.fixture
async def connection(between: Proxy) -> AsyncIterator[Connection]:
    made = Connection(Place("elasticmq", between.url))
    yield made
    await made.close()


@pytest.fixture
async def queue(connection: Connection, between: Proxy) -> AsyncIterator[str]:
    """The name of one that is there, and whose URL is known."""
    client, name = await connection.client(), f"calls-{secrets.token_hex(4)}"
    await client.create_queue(QueueName=name)
    await connection.url(name)
    yield name
    between.answer = pass_on
    await client.delete_queue(QueueUrl=await connection.url(name))


# -- as the client would -------------------------------------------------------------------------


class Unsent(Exception):
    """A request was seen, and goes no further."""


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1", "cn-north-1", "us-gov-west-1", "new"])
@pytest.mark.parametrize("settings", [{}, {"use_fips_endpoint": True}, {"endpoint": "http://a/b/"}])
async def test_it_sends_where_the_client_sends(
    monkeypatch: pytest.MonkeyPatch, region: str, settings: dict[str, Any]
) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    seen: list[Any] = []

    def note(request: Any, **_: Any) -> None:
        seen.append(request)
        raise Unsent

    config = AioConfig(**{name: v for name, v in settings.items() if name != "endpoint"})
    made = get_session().create_client(
        "sqs", region, config=config, endpoint_url=settings.get("endpoint")
    )
    async with made as client:
        target = await Target.of(client)
        client.meta.events.register("before-send.sqs", note)
        with pytest.raises(Unsent):
            await client.list_queues()
    (theirs,) = seen
    assert target.url == theirs.url
    scope = f"/{target.region}/{target.service}/aws4_request"
    assert scope in theirs.headers["Authorization"].decode()


Act = Callable[[Connection, str], Any]


@pytest.mark.parametrize(
    ("method", "act"),
    [
        ("send_message_batch", lambda at, q: at.send(q, [pack({"a": "b"}, b"one", delay=3)])),
        ("receive_message", lambda at, q: at.receive(q, 10, 0, 30)),
        ("delete_message_batch", lambda at, q: at.delete(q, ["r1", "r2"])),
        ("change_message_visibility_batch", lambda at, q: at.show(q, ["r1"], 0)),
    ],
)
async def test_a_request_is_the_clients(
    connection: Connection, queue: str, between: Proxy, method: str, act: Act
) -> None:
    async def nothing(operation: str, request: dict[str, Any]) -> web.Response:
        return web.json_response({})

    between.seen.clear()
    between.headers.clear()
    between.answer = nothing
    await act(connection, queue)
    ((operation, asked),) = between.seen
    await getattr(await connection.client(), method)(**asked)
    assert between.seen[1] == (operation, asked)
    ours, theirs = between.headers
    assert [ours[name] for name in SAME] == [theirs[name] for name in SAME]


@pytest.mark.parametrize(
    "told",
    [
        lambda: refusal("AccessDenied", "not allowed"),
        lambda: refusal("AWS.SimpleQueueService.NonExistentQueue"),
        lambda: web.json_response({"Message": "slow down"}, status=400),
        lambda: web.json_response({"__type": "a.b#RequestThrottled"}, status=403),
        lambda: web.Response(text="<html>away</html>", status=503),
        lambda: web.Response(status=500),
        lambda: web.Response(text="who knows", status=404),
    ],
)
async def test_an_error_is_the_clients(
    connection: Connection, queue: str, between: Proxy, told: Callable[[], web.Response]
) -> None:
    async def refuse(operation: str, request: dict[str, Any]) -> web.Response:
        answer = told()
        answer.headers["x-amzn-RequestId"] = "of-this-request"
        return answer

    client, url = await connection.client(), await connection.url(queue)
    between.answer = refuse
    with pytest.raises(ClientError) as ours:
        await connection.delete(queue, ["r1"])
    with pytest.raises(ClientError) as theirs:
        await client.delete_message_batch(
            QueueUrl=url, Entries=[{"Id": "0", "ReceiptHandle": "r1"}]
        )
    said, wanted = ours.value.response, theirs.value.response
    assert said["Error"] == wanted["Error"]
    for name in ("RequestId", "HTTPStatusCode"):
        assert said["ResponseMetadata"].get(name) == wanted["ResponseMetadata"].get(name)
    assert ours.value.operation_name == theirs.value.operation_name
    assert str(ours.value) == str(theirs.value).replace(" (reached max retries: 0)", "")


async def test_it_uses_what_this_release_has(connection: Connection) -> None:
    """`client._endpoint` is not public."""
    client = await connection.client()
    assert isinstance(client._endpoint.http_session, AIOHTTPSession)
    assert client.meta.config.user_agent


# -- answers -------------------------------------------------------------------------------------


async def test_what_an_answer_says_beyond_what_we_know_is_let_be(
    connection: Connection, queue: str, between: Proxy
) -> None:
    def more(request: dict[str, Any], answer: dict[str, Any]) -> None:
        answer["Newer"] = {"of": ["SQS"]}
        answer.setdefault("Failed", None)
        for message in answer.get("Messages", ()):
            message["Newer"] = 1
            message["MessageAttributes"]["newer"] = {"DataType": "Binary", "BinaryValue": "AAE="}

    between.after = more
    await connection.send(queue, [pack({"a": "b"}, "ü".encode())])
    (message,) = await connection.receive(queue, 10, 5, 30)
    assert unpack(message) == ({"a": "b"}, "ü".encode())
    await connection.delete(queue, [message["ReceiptHandle"]])


async def test_that_there_is_nothing_may_be_said_in_several_ways(
    connection: Connection, queue: str, between: Proxy
) -> None:
    async def nothing(operation: str, request: dict[str, Any]) -> web.Response:
        return web.Response(text=said)

    between.answer = nothing
    for said in ("", "{}", '{"Messages":null}', '{"Messages":[]}'):  # noqa: B007 - `nothing` says it
        assert await connection.receive(queue, 10, 0, 30) == []


@pytest.mark.parametrize(
    ("text", "status"),
    [("<html>welcome</html>", 200), ("[]", 200), ('["no"]', 400), ('{"__type":5}', 400)],
)
async def test_an_answer_that_is_not_of_sqs_is_told(
    connection: Connection, queue: str, between: Proxy, text: str, status: int
) -> None:
    async def other(operation: str, request: dict[str, Any]) -> web.Response:
        return web.Response(text=text, status=status)

    between.answer = other
    with pytest.raises(ResponseParserError):
        await connection.receive(queue, 10, 0, 30)


async def test_a_server_that_says_nothing_is_waited_for_so_long(
    between: Proxy, queue: str, connection: Connection
) -> None:
    silent = asyncio.Event()

    async def hold(operation: str, request: dict[str, Any]) -> None:
        if operation == "SendMessageBatch":
            await silent.wait()

    between.answer = hold
    hasty = Connection(Place("elasticmq", between.url, read_timeout=0.2))
    with pytest.raises(ReadTimeoutError):
        await hasty.send(queue, [pack({}, b"one")])
    silent.set()
    await hasty.close()


# -- credentials, and the way there --------------------------------------------------------------


@pytest.fixture
async def role(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """A task's role, as ECS gives it: each time that it is asked, keys that are soon to expire."""
    given = 0

    async def keys(request: web.Request) -> web.Response:
        nonlocal given
        given += 1
        return web.json_response(
            {
                "AccessKeyId": f"KEY{given}",
                "SecretAccessKey": "secret",
                "Token": f"token-{given}",
                "Expiration": (clock() + timedelta(minutes=5)).isoformat(),
            }
        )

    application = web.Application()
    application.router.add_get("/keys", keys)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/keys"
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url)
    yield
    await runner.cleanup()


async def test_a_roles_keys_are_renewed(
    between: Proxy, queue: str, role: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    tasks = Connection(Place("elasticmq", between.url))
    await tasks.url(queue)
    between.headers.clear()
    for body in (b"one", b"two"):
        await tasks.send(queue, [pack({}, body)])
    await tasks.close()
    numbers = [number_of(headers) for headers in between.headers]
    assert numbers[0] < numbers[1]
    for number, headers in zip(numbers, between.headers, strict=True):
        assert headers["X-Amz-Security-Token"] == f"token-{number}"
        assert "x-amz-security-token" in headers["Authorization"]


def number_of(headers: Mapping[str, str]) -> int:
    """Of the key that signed."""
    return int(headers["Authorization"].partition("Credential=KEY")[2].partition("/")[0])


async def test_who_has_no_credentials_asks_nothing(
    between: Proxy, queue: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    nobody = Connection(Place("elasticmq", between.url))
    between.seen.clear()
    with pytest.raises(NoCredentialsError):
        await nobody.send(queue, [pack({}, b"one")])
    assert between.seen == []
    await nobody.close()


async def test_a_proxy_of_http_is_gone_through(
    between: Proxy, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", between.url)
    away = Connection(Place("elasticmq", "http://sqs.nowhere.invalid"))
    await away.send(queue, [pack({}, b"one")])
    (message,) = await away.receive(queue, 1, 5, 30)
    assert unpack(message) == ({}, b"one")
    assert {headers["Host"] for headers in between.headers[-2:]} == {"sqs.nowhere.invalid"}
    await away.close()
