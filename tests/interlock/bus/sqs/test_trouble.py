"""What may be wrong with SQS, its URL, or the way there: told in one sentence, and survived."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiohttp import web

from interlock.bus import Effects, Envelope, Group, Keyring, Opening, on, open_bus
from interlock.bus.sqs import SqsBus
from interlock.bus.sqs.address import address
from interlock.bus.sqs.patience import AT_ONCE
from interlock.contracts.requests import TaskAuthenticated
from interlock.contracts.topics import Topic
from interlock.errors import InterlockError, Refused, Unavailable
from interlock.testing.build import KEYRING, authenticated, cancel_requested, denied, raw
from tests.components.elasticmq import CREDENTIALS
from tests.components.ports import lasting_port
from tests.components.proxy import proxied
from tests.interlock.bus.harness import QUICK, Seen, clock, eventually, noting, open_sqs, running
from tests.interlock.bus.sqs.proxy import Proxy, own_certificate, proxy, refusal
from tests.interlock.bus.test_redis import left


@pytest.fixture
async def between(sqs_endpoint: str) -> AsyncIterator[Proxy]:
    async with proxy(sqs_endpoint) as made:
        yield made


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)


def through(url: str, way: Proxy, sqs_endpoint: str) -> str:
    return url.replace(sqs_endpoint, way.url)


# -- the URL -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("sqs://eu-west-1", "sqs://<region>/<env>"),
        ("sqs://eu-west-1/no.dots", "letters, digits, `-` and `_`"),
        ("sqs://user:secret@eu-west-1/prod", "credentials come from the standard AWS variables"),
        ("sqs://eu-west-1/prod?colour=red", "allowed are `endpoint`, `bodies`, `limit`"),
        ("sqs://eu-west-1/prod?limit=many", "a number from 1024 to 1048576"),
        ("sqs://eu-west-1/prod?wait=21", "a number from 1 to 20"),
        ("sqs://eu-west-1/prod?endpoint=localhost", "http://host:port"),
        ("sqs://eu-west-1/prod?bodies=gs://bucket", "s3://bucket/prefix"),
    ],
)
def test_a_wrong_url_is_refused_and_says_what_is_allowed(url: str, named: str) -> None:
    with pytest.raises(Refused) as told:
        open_bus(Opening(url, Keyring({}), clock))
    assert named in told.value.detail
    assert "secret" not in told.value.detail


def test_a_region_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    assert address("sqs:///prod").region == "eu-central-1"
    assert address("sqs://us-east-1/prod").region == "us-east-1"


def test_names_of_queues_fit_sqs() -> None:
    at = address(f"sqs://eu-west-1/{'e' * 30}")
    assert at.dead(Topic.TASK_AUTHORIZED_CALL, "orchestration") == (
        f"{'e' * 30}-task-authorized-call-orchestration-dead"
    )


# -- credentials, permissions, the endpoint ------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "named", "kind"),
    [
        ("ExpiredToken", "have expired; renew them", Refused),
        ("InvalidClientTokenId", "does not accept the AWS credentials", Refused),
        ("SignatureDoesNotMatch", "look at the keys", Refused),
        ("ServiceUnavailable", "the bus does not serve", Unavailable),
    ],
)
async def test_a_refusal_at_the_start_names_cause_and_fix(
    credentials: None, between: Proxy, code: str, named: str, kind: type[Exception]
) -> None:
    async def refuse(operation: str, request: dict[str, Any]) -> web.Response:
        return refusal(code)

    between.answer = refuse
    bus = SqsBus(f"sqs://eu-west-1/prod?endpoint={between.url}", KEYRING, clock)
    with pytest.raises(InterlockError) as told:
        await bus.open()
    assert type(told.value) is kind
    assert named in told.value.detail
    assert "\n" not in told.value.detail


async def test_a_permission_that_lacks_is_named_by_the_plan(
    sqs_url: str, sqs_endpoint: str, between: Proxy
) -> None:
    async def deny(operation: str, request: dict[str, Any]) -> web.Response | None:
        return refusal("AccessDenied") if operation == "GetQueueAttributes" else None

    async with open_sqs(through(sqs_url, between, sqs_endpoint)) as bus:
        between.answer = deny
        with pytest.raises(Refused, match=r"do `sqs:GetQueueAttributes` on `test-.*allow it"):
            await bus.plan()


async def test_who_may_only_send_is_let_in(sqs_url: str, sqs_endpoint: str, between: Proxy) -> None:
    async with open_sqs(sqs_url) as full:
        bus = SqsBus(through(sqs_url, between, sqs_endpoint), KEYRING, clock)
        await bus.open()
        await bus.publish([raw(authenticated())])

        async def deny(operation: str, request: dict[str, Any]) -> web.Response | None:
            return None if operation == "SendMessageBatch" else refusal("AccessDenied")

        between.answer = deny
        await bus.check()
        await bus.publish([raw(authenticated("two"))])
        await bus.close()
        assert left(await full.backlog("policy")) == 2


async def test_missing_credentials_are_told(
    monkeypatch: pytest.MonkeyPatch, credentials: None, tmp_path: Any
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    bus = SqsBus("sqs://eu-west-1/prod?endpoint=http://127.0.0.1:9", KEYRING, clock)
    with pytest.raises(Refused, match="AWS_ACCESS_KEY_ID"):
        await bus.open()


async def test_a_region_that_is_none_is_told(credentials: None) -> None:
    bus = SqsBus("sqs://atlantis-1/prod", KEYRING, clock)
    with pytest.raises(Refused, match="`atlantis-1` is no region"):
        await bus.open()


async def test_an_endpoint_where_nobody_is_is_told_at_once(credentials: None) -> None:
    url = f"sqs://eu-west-1/prod?endpoint=http://127.0.0.1:{lasting_port()}"
    bus = SqsBus(url, KEYRING, clock)
    with pytest.raises(Unavailable, match="the bus does not serve: SQS at http://127"):
        await bus.open()


async def test_a_start_outlasts_a_moment_of_broken_connections(
    sqs_url: str, sqs_endpoint: str
) -> None:
    server = urlsplit(sqs_endpoint)
    with proxied(lambda: (str(server.hostname), int(server.port or 80))) as way:
        way.cut()
        bus = SqsBus(sqs_url.replace(sqs_endpoint, f"http://127.0.0.1:{way.port}"), KEYRING, clock)
        asyncio.get_running_loop().call_later(1.0, way.mend)
        await bus.open()
        way.cut()
        asyncio.get_running_loop().call_later(1.0, way.mend)
        await bus.apply()
        assert list(await bus.plan()) == []
        await bus.close()


async def test_a_look_that_fails_is_over_when_it_says_so(
    sqs_url: str, sqs_endpoint: str, between: Proxy
) -> None:
    async def deny(operation: str, request: dict[str, Any]) -> web.Response | None:
        return refusal("AccessDenied") if operation == "GetQueueAttributes" else None

    def asked() -> int:
        return sum(operation == "GetQueueAttributes" for operation, _ in between.seen)

    async with open_sqs(through(sqs_url, between, sqs_endpoint)) as bus:
        before, between.answer = asked(), deny
        with pytest.raises(Refused):
            await bus.plan()
        assert asked() - before <= AT_ONCE


async def test_an_endpoint_that_is_no_sqs_is_told(between: Proxy, credentials: None) -> None:
    async def page(operation: str, request: dict[str, Any]) -> web.Response:
        return web.Response(text="<html>welcome</html>", content_type="text/html")

    between.answer = page
    bus = SqsBus(f"sqs://eu-west-1/prod?endpoint={between.url}", KEYRING, clock)
    with pytest.raises(Refused, match="does not answer as SQS does"):
        await bus.open()


async def test_a_certificate_is_trusted_only_where_somebody_vouches_for_it(
    sqs_url: str, sqs_endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_sqs(sqs_url) as full, proxy(sqs_endpoint, own_certificate(tmp_path)) as way:
        url = through(sqs_url, way, sqs_endpoint)
        with pytest.raises(Refused, match=r"certificate of SQS at https://localhost:.* trusted"):
            await SqsBus(url, KEYRING, clock).open()
        assert way.seen == []
        monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "ca.pem"))
        bus = SqsBus(url, KEYRING, clock)
        await bus.open()
        await bus.publish([raw(authenticated())])
        await bus.close()
        assert left(await full.backlog("policy")) == 1
    assert {operation for operation, _ in way.seen} == {"GetQueueUrl", "SendMessageBatch"}


# -- while it runs -------------------------------------------------------------------------------


async def test_an_outage_is_told_in_bounded_time_and_ends_by_itself(
    sqs_url: str, sqs_endpoint: str, between: Proxy
) -> None:
    away, seen = [True], Seen()

    async def hang_up(operation: str, request: dict[str, Any]) -> web.Response | None:
        return refusal("ServiceUnavailable", status=503) if away else None

    async with open_sqs(through(sqs_url, between, sqs_endpoint)) as bus:
        group = Group("policy", [on(TaskAuthenticated, noting(seen))], limits=QUICK)
        async with running(bus, group):
            between.answer = hang_up
            began = time.monotonic()
            with pytest.raises(Unavailable):
                await bus.publish([raw(authenticated("lost"))])
            assert time.monotonic() - began < 30
            await eventually(lambda: well(bus), lambda is_well: not is_well)
            away.clear()
            await eventually(lambda: well(bus))
            await bus.publish([raw(authenticated("after"))])
            (event,) = await seen.count(1)
    assert event.body.task.id == "after"


async def test_what_is_throttled_is_asked_again_and_nothing_is_lost(
    sqs_url: str, sqs_endpoint: str, between: Proxy
) -> None:
    spells = dict.fromkeys(("ReceiveMessage", "SendMessageBatch", "DeleteMessageBatch"), 2)

    async def throttle(operation: str, request: dict[str, Any]) -> web.Response | None:
        if not spells.get(operation):
            return None
        spells[operation] -= 1
        return refusal("ThrottlingException", "rate exceeded")

    async def deny(event: Envelope[TaskAuthenticated]) -> Effects:
        return [denied(event.body.task)]

    async with open_sqs(through(sqs_url, between, sqs_endpoint)) as bus:
        await bus.publish([raw(authenticated(), cause="c")])
        between.answer = throttle
        group = Group("policy", [on(TaskAuthenticated, deny)], limits=QUICK)
        async with running(bus, group):
            await eventually(lambda: bus.backlog("gateway"), lambda figures: left(figures) == 1)
            await eventually(lambda: bus.backlog("policy"), lambda figures: left(figures) == 0)
    assert not any(spells.values())


async def test_what_sqs_did_not_take_of_a_batch_is_sent_again_and_only_that(
    sqs_url: str, sqs_endpoint: str, between: Proxy
) -> None:
    lacking: dict[str, list[str]] = {}  # by queue: the sends to several run side by side

    async def lose_half(operation: str, request: dict[str, Any]) -> web.Response | None:
        if operation == "SendMessageBatch" and len(request["Entries"]) == 10:
            names = [one["Id"] for one in request["Entries"]][::2]
            lacking[request["QueueUrl"]] = names
            request["Entries"] = [e for e in request["Entries"] if e["Id"] not in names]
        return None

    def say_so(request: dict[str, Any], answer: dict[str, Any]) -> None:
        fault = {"SenderFault": False, "Code": "InternalError", "Message": "try again"}
        if "Entries" in request and (names := lacking.pop(request["QueueUrl"], [])):
            answer["Failed"] = [{"Id": name, **fault} for name in names]

    async with open_sqs(through(sqs_url, between, sqs_endpoint)) as bus:
        between.answer, between.after = lose_half, say_so
        await bus.publish([raw(cancel_requested(f"task-{n}")) for n in range(10)])
        figures = await bus.backlog("policy")
    sends = [request for operation, request in between.seen if operation == "SendMessageBatch"]
    assert [len(one["Entries"]) for one in sends if one["QueueUrl"].endswith("policy")] == [10, 5]
    assert [one.waiting for one in figures] == [0, 10]


async def test_a_batch_that_sqs_refuses_for_good_is_not_sent_time_and_again(
    sqs_url: str, sqs_endpoint: str, between: Proxy
) -> None:
    def refuse(request: dict[str, Any], answer: dict[str, Any]) -> None:
        if "Entries" in request:
            fault = {"SenderFault": True, "Code": "InvalidMessageContents", "Message": "no"}
            answer["Failed"] = [{"Id": "0", **fault}]

    async with open_sqs(through(sqs_url, between, sqs_endpoint)) as bus:
        between.after = refuse
        with pytest.raises(Unavailable, match="InvalidMessageContents"):
            await bus.publish([raw(authenticated(), cause="c")])
    assert sum(operation == "SendMessageBatch" for operation, _ in between.seen) == 2, "one a queue"


async def well(bus: SqsBus) -> bool:
    try:
        await bus.check()
    except Unavailable:
        return False
    return True
