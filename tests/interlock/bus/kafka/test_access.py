"""Being let in: TLS, passwords and permissions, against a broker that asks for all three."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from joserfc.jwk import OKPKey

from interlock.bus import Bus, Raw, Stamp
from interlock.bus.kafka import KafkaBus
from interlock.bus.verdict import Surroundings
from interlock.errors import Refused, Unavailable
from interlock.identity.submissions import AgentKey, Request
from interlock.testing.build import KEYRING, authenticated, raw
from tests.components.ports import lasting_port
from tests.components.required import Missing, without
from tests.interlock.bus.harness import clock
from tests.interlock.bus.kafka.secured import PASSWORD, USER, Secured, secured_broker


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    try:
        with secured_broker(tmp_path_factory.mktemp("secured")) as running:
            yield running
    except Missing as missing:
        without("kafka", missing)


def bus(url: str) -> KafkaBus:
    return KafkaBus(url, Surroundings(KEYRING, clock))


async def why_not(made: Bus) -> str:
    """In one line, why it does not open."""
    with pytest.raises((Refused, Unavailable)) as error:
        await made.open()
    await made.close()
    assert "\n" not in error.value.detail
    assert PASSWORD not in error.value.detail
    return error.value.detail


DOORS: dict[str, Callable[[Secured], str]] = {
    "password": lambda to: to.url(),
    "scram-512": lambda to: to.url(more="&mechanism=SCRAM-SHA-512"),
    "scram-256": lambda to: to.url(more="&mechanism=SCRAM-SHA-256", port=to.other),
    "certificate": lambda to: to.url("", more=shown(to), port=to.mutual),
}


def shown(to: Secured) -> str:
    """A certificate of one's own."""
    return f"&security=ssl&cert={to.home}/client.pem&key={to.home}/client.key"


@pytest.mark.parametrize("door", DOORS)
async def test_who_is_known_and_trusts_the_certificate_is_let_in(
    secured: Secured, door: str
) -> None:
    made = f"{door}:"
    opened = KafkaBus(DOORS[door](secured), Surroundings(KEYRING, clock), prefix=made)
    await opened.open()
    await opened.apply()
    await opened.publish([raw(authenticated())])
    assert await opened.plan() == []
    await opened.check()
    assert (await opened.backlog("policy"))[0].waiting == 1
    await opened.close()


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
async def test_a_wrong_password_is_said(secured: Secured, mechanism: str) -> None:
    url = secured.url(f"{USER}:wrong@", more=f"&mechanism={mechanism}")
    assert "does not take these credentials" in await why_not(bus(url))


async def test_who_shows_no_certificate_where_one_is_asked_for_is_told(secured: Secured) -> None:
    said = await why_not(bus(secured.url("", more="&security=ssl", port=secured.mutual)))
    assert "`cert=`" in said


async def test_a_mechanism_that_the_broker_lacks_is_said(secured: Secured) -> None:
    url = secured.url(more="&mechanism=SCRAM-SHA-512", port=secured.other)
    assert "another `mechanism=`" in await why_not(bus(url))


async def test_a_certificate_for_another_name_is_said(secured: Secured) -> None:
    said = await why_not(bus(secured.url(host="127.0.0.1")))
    assert "certificate does not match" in said
    assert "127.0.0.1" in said


async def test_a_certificate_that_nobody_vouches_for_is_said(secured: Secured) -> None:
    url = secured.url().replace(f"ca={secured.ca}&", "")
    said = await why_not(bus(url))
    assert "certificate does not match" in said
    assert "`ca=`" in said


async def test_speaking_plainly_to_a_door_of_tls_is_said(secured: Secured) -> None:
    said = await why_not(bus(f"kafka://localhost:{secured.port}"))
    assert "cannot reach Kafka at `localhost:" in said


async def opened_at_last(agent: KafkaBus) -> None:
    """A broker takes an ACL, and heeds it a moment later."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await agent.open()
            except Refused:
                await asyncio.sleep(0.05)


async def test_a_missing_permission_is_named(secured: Secured) -> None:
    admin, agent = bus(secured.url()), bus(secured.url(f"agent:{PASSWORD}@"))
    await admin.open()
    await admin.apply()
    assert "permission `Create` or `IdempotentWrite`" in await why_not(agent)
    secured.broker.allow_writing("agent", "interlock.task.submitted")
    await opened_at_last(agent)
    await agent.publish([submitted()])
    with pytest.raises(Refused, match=r"may not describe topics: permission .* of topic `"):
        await agent.plan()
    with pytest.raises(Refused, match=r"may not publish: permission .* `interlock.task.authen"):
        await agent.publish([raw(authenticated())])
    with pytest.raises(Refused, match=r"permission .* is missing"):
        await agent.backlog("policy")
    assert (await admin.backlog("auth"))[0].waiting == 1
    await agent.close()
    await admin.close()


def submitted() -> Raw:
    """What an agent on the bus may write, and all that it may."""
    pair = OKPKey.generate_key("Ed25519")
    key = AgentKey.of("acme", "agent", dict(pair.as_dict(private=True)))
    fact = key.submit(Request("ref", "crm", "search", "{}", clock()), clock())
    return Stamp("agent:agent", KEYRING, clock).state(fact, "id-1", None, None)


async def test_more_replicas_than_brokers_are_refused_with_the_option_that_helps(
    secured: Secured,
) -> None:
    made = KafkaBus(
        secured.url().replace("replication=1", "replication=3"),
        Surroundings(KEYRING, clock),
        prefix="three.",
    )
    await made.open()
    with pytest.raises(Refused, match=r"3 time.*say `replication=` in the Kafka URL"):
        await made.apply()
    await made.close()


async def test_a_broker_that_is_not_there_is_said() -> None:
    said = await why_not(bus(f"kafka://127.0.0.1:{lasting_port()}"))
    assert "connect call failed" in said.lower() or "refused" in said.lower()


def refused(url: str, redis_url: str, data: Path) -> str:
    """A service that cannot start on that bus: the one line that it says."""
    told = {"BUS_URL": url, "REDIS_URL": redis_url, "DATA": str(data), "LOG_LEVEL": "error"}
    keys = {"EMBEDDED": "true", "PORT": "0"}
    ended = subprocess.run(
        [sys.executable, "-m", "services.policy"],
        env=os.environ | {f"INTERLOCK_{name}": value for name, value in (told | keys).items()},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert ended.returncode == 2, ended.stderr
    said = [line for line in ended.stderr.splitlines() if "valkey" not in line]
    assert len(said) == 1, ended.stderr
    return said[0]


@pytest.mark.timeout(400)
def test_a_service_that_cannot_reach_its_bus_says_so_in_one_line(
    secured: Secured, redis_url: str, tmp_path: Path
) -> None:
    for url, says in (
        (f"kafka://127.0.0.1:{lasting_port()}", "cannot reach Kafka at `127.0.0.1:"),
        ("kafka://127.0.0.1?acks=0", "`acks` is no option of a Kafka URL"),
        (secured.url("admin:wrong@"), "does not take these credentials"),
        (secured.url(host="127.0.0.1"), "the certificate does not match"),
    ):
        assert says in refused(url, redis_url, tmp_path)
