"""Resources that are listened to: who may read one is told when it changes, and nobody else."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

import pytest

from interlock.bus import Stamp
from interlock.contracts.access import PermissionRecord, PolicySetRecord, PolicyText
from interlock.contracts.upstream_events import (
    UpstreamList,
    UpstreamListChanged,
    UpstreamResourceUpdated,
)
from interlock.state import CATALOGUE, POLICY
from interlock.state.interest import MemoryInterest, Wish
from interlock.testing.build import KEYRING
from services.gateway.handlers import subscriptions
from tests.services.gateway.build import Gateway, World, now
from tests.services.gateway.http.raw import frames, headers, message
from tests.services.gateway.http.test_features import NOTE, RULES, SECRET_NOTE, offering

ON_ALL = f"interlock://crm/{NOTE}"
Stream = AsyncIterator[tuple[str, Any]]


def offer(gateway: Gateway, *permissions: str) -> None:
    gateway.state.publish(CATALOGUE, "acme", "crm", offering())
    given = PolicySetRecord(
        tenant="acme",
        version=2,
        permissions=(PermissionRecord(agent="copilot", permissions=permissions),),
        policies=(PolicyText(name="rules", text=RULES),),
    )
    gateway.state.publish(POLICY, "acme", "set", given)


@asynccontextmanager
async def listening(
    gateway: Gateway, uris: Sequence[str], path: str = "/servers/crm/mcp", who: str = "copilot"
) -> AsyncIterator[tuple[list[str], Stream]]:
    """What was acknowledged, and the frames after that."""
    wanted = {"resourceSubscriptions": list(uris)}
    body = message("subscriptions/listen", notifications=wanted)
    given = headers("subscriptions/listen", None)
    async with (
        gateway.client(who) as http,
        http.stream("POST", path, json=body, headers=given) as stream,
    ):
        assert stream.headers["x-accel-buffering"] == "no"
        told = frames(stream)
        _, first = await anext(told)
        assert first["method"] == "notifications/subscriptions/acknowledged"
        yield first["params"]["notifications"].get("resourceSubscriptions", []), told


async def update(gateway: Gateway, *uris: str, server: str = "crm") -> None:
    stamp = Stamp("invocation", KEYRING, now)
    facts = [UpstreamResourceUpdated(tenant="acme", server=server, uri=uri) for uri in uris]
    raws = [stamp.from_journal(fact, (0, n), None) for n, fact in enumerate(facts)]
    await gateway.bus.publish(raws)


async def updated(told: Stream) -> str:
    async with asyncio.timeout(20):
        while (frame := (await anext(told))[1]) is None:
            pass
    assert frame["method"] == "notifications/resources/updated"
    assert frame["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"] == 7
    uri: str = frame["params"]["uri"]
    return uri


@pytest.mark.parametrize(("path", "uri"), [("/servers/crm/mcp", NOTE), ("/mcp", ON_ALL)])
async def test_a_change_is_told_under_the_routes_own_uri(
    gateway: Gateway, path: str, uri: str
) -> None:
    offer(gateway, "crm:read")
    async with listening(gateway, [uri], path) as (honoured, told):
        assert honoured == [uri]
        await update(gateway, "notes://another", f"{NOTE}morrow", f"{NOTE}/part")
        assert await updated(told) == uri


async def test_what_may_not_be_read_is_not_acknowledged_and_not_told(
    gateway: Gateway, suite: World
) -> None:
    offer(gateway, "crm:read")
    async with listening(gateway, [SECRET_NOTE, NOTE]) as (honoured, told):
        assert honoured == [NOTE]
        await update(gateway, SECRET_NOTE, NOTE)
        assert await updated(told) == NOTE
        assert await suite.interest.wanted() == {Wish("acme", "crm", NOTE)}
    async with listening(gateway, [NOTE], who="other") as (honoured, _):
        assert honoured == []
    async with listening(gateway, ["interlock://none/x", ON_ALL], "/mcp") as (honoured, _):
        assert honoured == [ON_ALL]


async def test_who_may_read_it_no_more_is_told_no_more(gateway: Gateway) -> None:
    offer(gateway, "crm:read")
    both = [NOTE, "notes://tomorrow"]
    async with listening(gateway, both) as (honoured, told):
        assert honoured == both
        forbid = RULES + 'forbid (principal, action, resource == Resource::"crm__notes://today");'
        changed = PolicySetRecord(
            tenant="acme",
            version=3,
            permissions=(PermissionRecord(agent="copilot", permissions=("crm:read",)),),
            policies=(PolicyText(name="rules", text=forbid),),
        )
        gateway.state.publish(POLICY, "acme", "set", changed)
        await gateway.host.reader.load()
        await update(gateway, *both)
        assert await updated(told) == "notes://tomorrow"


async def test_every_replica_is_told_and_wants_only_while_somebody_listens(suite: World) -> None:
    async with suite.gateway() as one, suite.gateway() as two:
        offer(one, "crm:read")
        await two.host.reader.load()
        await one.host.reader.load()
        async with listening(one, [NOTE]) as (_, first), listening(two, [NOTE]) as (_, second):
            await update(one, NOTE)
            assert [await updated(first), await updated(second)] == [NOTE, NOTE]


async def test_an_upstreams_own_word_is_passed_on_at_once_to_who_sees_such_a_list(
    gateway: Gateway,
) -> None:
    offer(gateway, "crm:read")
    body = message("subscriptions/listen", notifications={"promptsListChanged": True})
    given = headers("subscriptions/listen", None)
    async with (
        gateway.client() as http,
        http.stream("POST", "/mcp", json=body, headers=given) as stream,
    ):
        told = frames(stream)
        await anext(told)
        stamp = Stamp("invocation", KEYRING, now)
        facts = [
            UpstreamListChanged(tenant="acme", server="erp", lists=(UpstreamList.PROMPTS,)),
            UpstreamListChanged(tenant="acme", server="crm", lists=(UpstreamList.TOOLS,)),
            UpstreamListChanged(tenant="acme", server="crm", lists=(UpstreamList.PROMPTS,)),
        ]
        raws = [stamp.from_journal(fact, (0, n), None) for n, fact in enumerate(facts)]
        await gateway.bus.publish(raws)
        async with asyncio.timeout(20):
            while (frame := (await anext(told))[1]) is None:
                pass
        assert frame["method"] == "notifications/prompts/list_changed"


async def test_who_subscribes_is_acknowledged_when_the_upstream_is_heard(
    suite: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriptions, "HEARD_SECONDS", 60.0)
    suite.interest = MemoryInterest(monotonic)
    async with suite.gateway() as gateway:
        offer(gateway, "crm:read")
        stream = listening(gateway, [NOTE])
        acknowledged = asyncio.ensure_future(stream.__aenter__())
        async with asyncio.timeout(20):
            while not await suite.interest.wanted():  # noqa: ASYNC110 it has no event of its own
                await asyncio.sleep(0.01)
        done, _ = await asyncio.wait({acknowledged}, timeout=0.2)
        assert not done
        await suite.interest.hear([Wish("acme", "crm", NOTE)])
        _, told = await acknowledged
        await update(gateway, "notes://another", NOTE)
        assert await updated(told) == NOTE
        await stream.__aexit__(None, None, None)


async def test_who_was_promised_to_be_told_before_that_is_told_once_when_it_is(
    suite: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriptions, "HEARD_SECONDS", 0.0)
    suite.interest = MemoryInterest(monotonic)
    async with suite.gateway() as gateway:
        offer(gateway, "crm:read")
        async with listening(gateway, [NOTE]) as (_, told):
            await suite.interest.hear([Wish("acme", "crm", NOTE)])
            async with listening(gateway, [NOTE]):  # and with it a look
                assert await updated(told) == NOTE
