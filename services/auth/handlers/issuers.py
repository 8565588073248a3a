"""OIDC issuers that tenants trust: found once, and their keys fetched again and again."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

import structlog

from interlock.contracts.access import IntrospectionRecord, IssuerRecord
from interlock.contracts.changes import AccessRevoked, IssuerTrusted
from interlock.contracts.task import Principal
from interlock.errors import Refused
from interlock.identity.sealing import Seal
from interlock.state.port import ISSUERS
from services.auth.clients import Discovery
from services.auth.handlers.stating import Stating
from services.auth.store import Records, Store

log = structlog.get_logger()
AGAIN = timedelta(seconds=10)
"""No issuer is asked more often because of what strangers send."""


@dataclass(frozen=True)
class Asking:
    """As whom an issuer is asked about tokens, and whether about JWTs, too."""

    client_id: str
    secret: str = field(repr=False)
    every: bool


@dataclass(frozen=True)
class Issuers:
    """Trust in issuers. One URL is one tenant's: its tokens say nothing of tenants."""

    store: Store
    stating: Stating
    discovery: Discovery
    now: Callable[[], datetime]
    seal: Seal
    private: bool = False
    """Issuers may be asked at private addresses."""
    _asked: dict[str, datetime] = field(default_factory=dict)
    """When each was asked for its keys last; trusted issuers are few."""

    async def trust(self, asked: IssuerRecord, by: Principal) -> IssuerRecord:
        """Believe an issuer's tokens from now on.

        `Refused`: `unreachable` where it does not answer, `conflict` where another tenant has it.
        """
        self._asked[asked.issuer] = self.now()
        found = asked.model_copy(update={"jwks": await self.discovery.jwks(asked.issuer)})

        def work(records: Records) -> None:
            if {*records.holders(ISSUERS, found.issuer)} - {found.tenant}:
                raise Refused(f"issuer `{found.issuer}` is taken already", code="conflict")
            fact = IssuerTrusted(by=by, tenant=found.tenant, name=found.issuer)
            self.stating.put(records, ISSUERS, found.issuer, found, fact=fact)

        await self.store.change(work)
        log.info("issuer.trusted", tenant=found.tenant, issuer=found.issuer)
        return found

    async def introspecting(self, asked: IssuerRecord, asking: Asking) -> IssuerRecord:
        """With where and as whom it is asked about tokens; `Refused` (`unreachable`)."""
        how = IntrospectionRecord(
            endpoint=await self.discovery.introspection(asked.issuer),
            client_id=asking.client_id,
            sealed_secret=self.seal.close(asking.secret.encode()),
            every=asking.every,
            private=self.private,
        )
        return asked.model_copy(update={"introspection": how})

    async def distrust(self, tenant: str, issuer: str, by: Principal) -> None:
        """Believe none of its tokens from now on."""

        def work(records: Records) -> None:
            if records.get(ISSUERS, tenant, issuer) is None:
                raise Refused(f"issuer `{issuer}` is not trusted", code="not_found")
            fact = AccessRevoked(by=by, tenant=tenant, name=issuer, kind="issuer")
            self.stating.put(records, ISSUERS, issuer, None, fact=fact)

        await self.store.change(work)

    async def refresh(self) -> bool:
        """Fetch all keys again; whether any changed. One that does not answer keeps its keys."""
        changed = False
        for record in await self.store.read(_all):
            changed |= await self._fetched(record) != record
        return changed

    async def look_again(self, tenant: str, issuer: str) -> bool:
        """A door saw a token under a key that is not published: fetch the keys now, unless that
        was tried a moment ago. Whether they changed."""
        record = await self.store.read(lambda records: records.get(ISSUERS, tenant, issuer))
        return record is not None and await self.now_of(record) != record

    async def now_of(self, record: IssuerRecord) -> IssuerRecord:
        """The issuer with its keys of this moment, at most `AGAIN` old."""
        asked = self._asked.get(record.issuer)
        if asked is not None and self.now() - asked < AGAIN:
            return record
        return await self._fetched(record)

    async def _fetched(self, record: IssuerRecord) -> IssuerRecord:
        """One that does not answer keeps its keys."""
        self._asked[record.issuer] = self.now()
        try:
            keys = await self.discovery.jwks(record.issuer)
        except Refused as error:
            log.warning("issuer.unreachable", issuer=record.issuer, why=error.detail)
            return record
        if keys != record.jwks:
            await self.store.change(partial(_keep, was=record, keys=keys))
            log.info("issuer.refreshed", issuer=record.issuer)
        return record.model_copy(update={"jwks": keys})


def _all(records: Records) -> list[IssuerRecord]:
    return [
        record for tenant in records.tenants() for record in records.of(ISSUERS, tenant).values()
    ]


def _keep(records: Records, was: IssuerRecord, keys: str) -> None:
    """New keys, unless the issuer was changed or removed meanwhile."""
    if records.get(ISSUERS, was.tenant, was.issuer) == was:
        record = was.model_copy(update={"jwks": keys})
        records.put(ISSUERS, was.tenant, was.issuer, record)
