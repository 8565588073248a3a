"""Tenants: the walls between customers, and who may go through them at all."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from interlock.contracts.access import RevocationRecord
from interlock.contracts.changes import StateChanged, TenantDisabled, TenantEnabled
from interlock.contracts.task import Principal
from interlock.errors import Refused
from interlock.state.port import REVOCATIONS
from services.auth import decide
from services.auth.handlers.stating import Stating
from services.auth.model import Tenant
from services.auth.store import Records, Store

log = structlog.get_logger()


@dataclass(frozen=True)
class Tenants:
    """All of the suite's. A tenant's facts are its own, so that its auditors find them."""

    store: Store
    stating: Stating
    now: Callable[[], datetime]

    async def all(self) -> Sequence[Tenant]:
        """In order of names."""
        return await self.store.read(
            lambda records: [_tenant(records, name) for name in records.tenants()]
        )

    async def show(self, name: str) -> Tenant:
        """`Refused` (`not_found`)."""
        return await self.store.read(lambda records: _tenant(records, name))

    async def disable(self, name: str, reason: str, by: Principal) -> None:
        """Let nobody of the tenant in, until it is enabled again; nothing is lost meanwhile."""

        def work(records: Records) -> None:
            tenant, now = _tenant(records, name), self.now()
            records.keep_tenant(replace(tenant, disabled_at=tenant.disabled_at or now))
            shut = RevocationRecord(
                tenant=name, kind="tenant", name=name, not_before=now, reason=reason
            )
            self._put(records, shut, TenantDisabled(by=by, tenant=name, name=name, reason=reason))

        decide.require_may_be_disabled(name)
        await self.store.change(work)
        log.info("tenant.disabled", tenant=name)

    async def enable(self, name: str, by: Principal) -> None:
        """What was let in before is let in again."""

        def work(records: Records) -> None:
            records.keep_tenant(replace(_tenant(records, name), disabled_at=None))
            self._put(records, None, TenantEnabled(by=by, tenant=name, name=name))

        await self.store.change(work)
        log.info("tenant.enabled", tenant=name)

    def _put(self, records: Records, shut: RevocationRecord | None, fact: StateChanged) -> None:
        self.stating.put(records, REVOCATIONS, f"tenant:{fact.tenant}", shut, fact=fact)


def _tenant(records: Records, name: str) -> Tenant:
    tenant = records.tenant(name)
    if tenant is None:
        raise Refused(f"there is no tenant `{name}`", code="not_found")
    return tenant
