"""Somebody who reached the bus, with or without the suite's own key, and no service's key."""

import secrets
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from joserfc.jwk import OKPKey
from redis import Redis

from interlock.bus import Keyring, Stamp
from interlock.bus.redis.entries import Keys
from interlock.contracts.ids import TaskId
from interlock.contracts.message import Fact
from interlock.contracts.task import Principal, PrincipalKind, Task, TaskKind, request_digest
from interlock.contracts.topics import topics_of
from interlock.identity.keys import load_keyring
from interlock.identity.statements import Signer
from interlock.runtime.settings import SuiteSettings
from tests.components.crm import NOT_REPEATABLE, SERVER
from tests.components.suite import until
from tests.components.world import AGENT, TENANT, World

ARGUMENTS = '{"opportunity_id": "opp-1", "percent": 50}'
KEYS = Keys(SuiteSettings.model_fields["prefix"].default)


def now() -> datetime:
    """Real time: deadlines are looked at."""
    return datetime.now(UTC)  # noqa: TID251 the edge of these tests


@dataclass(frozen=True)
class Forger:
    """Writes what it likes to a suite's bus."""

    here: World
    keyring: Keyring

    @classmethod
    def outside(cls, here: World) -> "Forger":
        """Knows the name of the suite's key, not the key."""
        return cls(here, Keyring({"k1": secrets.token_bytes(32)}))

    @classmethod
    def inside(cls, here: World) -> "Forger":
        """Has stolen the suite's key."""
        return cls(here, load_keyring(here.suite.data / "keys", create=False))

    def signer(self, service: str) -> Signer:
        """Signs in the service's name with a key of its own."""
        return Signer.of(service, OKPKey.generate_key("Ed25519"))

    def task(self, arguments: str = ARGUMENTS, task_id: str | None = None) -> Task:
        """A grant of half the price, as the agent would ask for it."""
        return Task(
            id=TaskId(task_id or secrets.token_hex(16)),
            principal=Principal(tenant=TENANT, kind=PrincipalKind.AGENT, name=AGENT),
            kind=TaskKind.CALL,
            server=SERVER,
            tool=NOT_REPEATABLE,
            request_digest=request_digest(TaskKind.CALL, SERVER, NOT_REPEATABLE, arguments),
            deadline=now() + timedelta(minutes=10),
        )

    def put(self, fact: Fact, source: str, event_id: str | None = None) -> str:
        """Append it to its topic in the name of a service; the event's id."""
        made = event_id or secrets.token_hex(16)
        raw = Stamp(source, self.keyring, now).state(fact, made, None, None)
        with closing(Redis.from_url(self.here.suite.bus_url)) as redis:
            fields: dict[Any, Any] = {**raw.attributes, "data": raw.body}
            redis.xadd(KEYS.stream(raw.topic), fields)
        return made

    # -- what became of it ----------------------------------------------------------------------

    def parked(self, service: str, event_id: str) -> dict[str, Any]:
        """The dead letter that a service made of it, once it did."""
        found: list[dict[str, Any]] = []

        def look() -> bool:
            found[:] = [one for one in self._letters(service) if one["event"] == event_id]
            return bool(found)

        until(look, f"`{service}` parked the forgery", within=15)
        return found[0]

    def records(self, **wanted: str) -> list[dict[str, Any]]:
        """Records that match, as an operator finds them."""
        query = "&".join(f"{name}={value}" for name, value in wanted.items())
        return list(self.here.suite.ask("GET", f"/audit/v1/records?{query}")["records"])

    def recorded(self, fault: str, subject: str) -> None:
        """Return once the ledger has a record of a faulty message about `subject`."""
        until(
            lambda: any(one.get("fault") == fault for one in self.records(task=subject)),
            f"the ledger has the {fault} message",
            within=15,
        )

    def _letters(self, service: str) -> Iterator[dict[str, Any]]:
        suite = self.here.suite
        assert topics_of(service)
        for one in suite.ask("GET", f"/{service}/v1/dead?limit=1000")["letters"]:
            letter = suite.ask("GET", f"/{service}/v1/dead/{one['id']}")
            yield letter | {"event": letter["attributes"].get("ce_id")}
