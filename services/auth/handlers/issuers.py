"""OIDC issuers that tenants trust: found once, and their keys fetched again and again."""

from dataclasses import dataclass
from functools import partial

import structlog

from interlock.contracts.access import IssuerRecord
from interlock.contracts.changes import AccessRevoked, IssuerTrusted
from interlock.contracts.task import Principal
from interlock.errors import Refused
from interlock.state.port import ISSUERS
from services.auth.clients import Discovery
from services.auth.handlers.stating import Stating
from services.auth.store import Records, Store

log = structlog.get_logger()


@dataclass(frozen=True)
class Issuers:
    """Trust in issuers. One URL is one tenant's: its tokens say nothing of tenants."""

    store: Store
    stating: Stating
    discovery: Discovery

    async def trust(self, asked: IssuerRecord, by: Principal) -> IssuerRecord:
        """Believe an issuer's tokens from now on.

        `Refused`: `unreachable` where it does not answer, `conflict` where another tenant has it.
        """
        found = asked.model_copy(update={"jwks": await self.discovery.jwks(asked.issuer)})

        def work(records: Records) -> None:
            if {*records.holders(ISSUERS, found.issuer)} - {found.tenant}:
                raise Refused(f"issuer `{found.issuer}` is taken already", code="conflict")
            fact = IssuerTrusted(by=by, tenant=found.tenant, name=found.issuer)
            self.stating.put(records, ISSUERS, found.issuer, found, fact=fact)

        await self.store.change(work)
        log.info("issuer.trusted", tenant=found.tenant, issuer=found.issuer)
        return found

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
            try:
                keys = await self.discovery.jwks(record.issuer)
            except Refused as error:
                log.warning("issuer.unreachable", issuer=record.issuer, why=error.detail)
                continue
            if keys != record.jwks:
                await self.store.change(partial(_keep, was=record, keys=keys))
                log.info("issuer.refreshed", issuer=record.issuer)
                changed = True
        return changed


def _all(records: Records) -> list[IssuerRecord]:
    return [
        record for tenant in records.tenants() for record in records.of(ISSUERS, tenant).values()
    ]


def _keep(records: Records, was: IssuerRecord, keys: str) -> None:
    """New keys, unless the issuer was changed or removed meanwhile."""
    if records.get(ISSUERS, was.tenant, was.issuer) == was:
        record = was.model_copy(update={"jwks": keys})
        records.put(ISSUERS, was.tenant, was.issuer, record)
