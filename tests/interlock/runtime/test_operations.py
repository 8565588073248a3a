"""What operators reach at every door, on a whole suite over real sockets."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from interlock.bus import Keyring, Raw
from interlock.bus.redis import RedisBus
from interlock.contracts.topics import SERVICES, Topic
from interlock.testing.build import noon
from tests.components.suite import Suite, suite
from tests.interlock.bus.harness import eventually

SCRAPER = "a-scraper-s-own-token"
FORGED = Raw(Topic.TASK_AUTHENTICATED, {"ce_id": "evil", "ce_type": "interlock.x.v1"}, b"{}")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    env = {"INTERLOCK_METRICS_TOKEN": SCRAPER}
    with suite(tmp_path_factory.mktemp("operations") / "data", env=env) as found:
        yield found


@pytest.fixture
async def letter(running: Suite) -> AsyncIterator[dict[str, Any]]:
    """A forged message, parked by policy."""
    bus = RedisBus(running.bus_url, Keyring({}), noon)
    await bus.open()
    await bus.publish([FORGED])
    await bus.close()
    found = await eventually(lambda: letters(running))
    yield found[0]
    for one in await letters(running):
        await ask(running, "DELETE", f"/policy/v1/dead/{one['id']}")


async def ask(running: Suite, method: str, path: str, body: Any = None) -> Any:
    return await asyncio.to_thread(running.ask, method, path, body)


async def letters(running: Suite) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await ask(running, "GET", "/policy/v1/dead"))["letters"]
    return found


async def letters_of(running: Suite, key: str) -> list[dict[str, Any]]:
    told = await asyncio.to_thread(running.ask, "GET", "/policy/v1/dead", None, key)
    found: list[dict[str, Any]] = told["letters"]
    return found


def scraped(running: Suite, token: str | None) -> str:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    with urlopen(Request(f"{running.url}/metrics", headers=headers), timeout=10) as answer:
        told: str = answer.read().decode()
        return told


def text(running: Suite, path: str) -> str:
    with urlopen(running.url + path, timeout=10) as answer:
        told: str = answer.read().decode()
        return told


@pytest.mark.parametrize("service", SERVICES)
def test_each_service_tells_its_health_without_a_token_and_its_status_with_one(
    running: Suite, service: str
) -> None:
    assert json.loads(text(running, f"/{service}/health/live"))["live"]
    assert json.loads(text(running, f"/{service}/health/ready"))["ready"]
    with pytest.raises(HTTPError) as refused:
        text(running, f"/{service}/v1/status")
    refused.value.close()
    assert refused.value.code == 401
    status = running.ask("GET", f"/{service}/v1/status")
    assert (status["service"], status["ready"], status["dead"]) == (service, True, 0)


@pytest.mark.parametrize("token", [None, "wrong", SCRAPER[:-1], "a b"])
def test_figures_are_for_scrapers_and_operators_alone(running: Suite, token: str | None) -> None:
    with pytest.raises(HTTPError) as refused:
        scraped(running, token)
    refused.value.close()
    assert refused.value.code == 401
    assert "interlock_ready" in scraped(running, running.operator_key)


def test_metrics_have_backlog_and_readiness_of_each_service(running: Suite) -> None:
    told = scraped(running, SCRAPER)
    for service in SERVICES:
        assert f'interlock_ready{{service="{service}"}} 1.0' in told
    assert 'interlock_backlog{service="policy",topic="task.authenticated"}' in told
    assert 'interlock_backlog{service="invocation",topic="journal"}' in told
    assert 'interlock_http_requests_total{service="policy",status="' in told


async def test_a_forged_message_is_a_letter_with_its_raw_bytes(
    running: Suite, letter: dict[str, Any]
) -> None:
    shown = await ask(running, "GET", f"/policy/v1/dead/{letter['id']}")
    assert (shown["code"], shown["body"]) == ("forged", "{}")
    assert shown["attributes"]["ce_id"] == "evil"
    status = await ask(running, "GET", "/policy/v1/status")
    assert status["dead"] == 1


async def test_a_letter_is_hidden_from_other_tenants_and_what_is_forged_proves_none(
    running: Suite, letter: dict[str, Any]
) -> None:
    made = await ask(running, "POST", "/auth/v1/tenants", {"name": "evil"})
    bus = RedisBus(running.bus_url, Keyring({}), noon)
    await bus.open()
    claims = {"ce_id": "mine", "ce_type": "interlock.x.v1", "ce_tenant": "evil"}
    await bus.publish([Raw(Topic.TASK_AUTHENTICATED, claims, b"{}")])
    await bus.close()
    await eventually(lambda: more_than_one(running))
    assert await letters_of(running, made["key"]) == []
    for one in await letters(running):
        path = f"/policy/v1/dead/{one['id']}"
        for method, where in (("GET", path), ("POST", f"{path}/redrive"), ("DELETE", path)):
            with pytest.raises(RuntimeError, match=r"404 .* has no dead letter"):
                await asyncio.to_thread(running.ask, method, where, None, made["key"])
    assert len(await letters(running)) == 2


async def records(running: Suite, type_: str) -> list[dict[str, Any]]:
    told = await ask(running, "GET", f"/audit/v1/records?type={type_}")
    found: list[dict[str, Any]] = told["records"]
    return found


async def more_than_one(running: Suite) -> bool:
    return len(await letters(running)) > 1


async def test_a_limit_that_is_none_is_refused(running: Suite) -> None:
    for limit in ("x", "-5", "0"):
        with pytest.raises(RuntimeError, match="422"):
            await ask(running, "GET", f"/policy/v1/dead?limit={limit}")


async def test_a_letter_that_is_redriven_is_judged_again(
    running: Suite, letter: dict[str, Any]
) -> None:
    await ask(running, "POST", f"/policy/v1/dead/{letter['id']}/redrive")
    await eventually(lambda: letters(running))
    assert await eventually(lambda: records(running, "interlock.dead_letter.redriven.v1"))


async def test_a_dropped_letter_is_gone_and_an_unknown_one_is_not_found(
    running: Suite, letter: dict[str, Any]
) -> None:
    await ask(running, "DELETE", f"/policy/v1/dead/{letter['id']}")
    with pytest.raises(RuntimeError, match="has no dead letter"):
        await ask(running, "DELETE", f"/policy/v1/dead/{letter['id']}")


def test_the_pages_describe_every_door_and_every_topic(running: Suite) -> None:
    document = json.loads(text(running, "/openapi.json"))
    for path in (
        "/v1/tasks",
        "/v1/tasks/{id}",
        "/registry/v1/servers",
        "/policy/v1/permissions/{agent}",
        "/auth/v1/agents",
        "/audit/v1/records",
        "/invocation/v1/journal",
        "/audit/v1/dead",
    ):
        assert path in document["paths"], path
    assert "requestBody" in document["paths"]["/registry/v1/servers"]["post"]
    assert "/registry/v1/servers" in text(running, "/docs")
    events = json.loads(text(running, "/asyncapi.json"))
    assert events["asyncapi"].startswith("3.")
    assert "task.authenticated" in text(running, "/asyncapi")


def test_a_stop_ends_the_process_with_its_broker_and_code_zero(tmp_path: Path) -> None:
    with suite(tmp_path / "data") as found:
        broker = found.pid("valkey")
        found.stop()
        assert found.process.poll() == 0
        assert broker is not None
        assert not Path(f"/proc/{broker}").exists()


def test_a_body_that_is_too_large_is_refused_before_it_is_sent(running: Suite) -> None:
    connection = HTTPConnection("127.0.0.1", running.port, timeout=10)
    with closing(connection):
        connection.putrequest("POST", "/registry/v1/servers")
        connection.putheader("Content-Length", "2000000")
        connection.putheader("Authorization", f"Bearer {running.operator_key}")
        connection.endheaders()
        assert connection.getresponse().status == 413
