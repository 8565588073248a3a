"""The issuers that the operator's file names: trusted without anybody having to sign in first."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from interlock.contracts.access import IssuerRecord
from interlock.contracts.task import Principal, PrincipalKind
from interlock.errors import Refused
from interlock.identity.roles import DEFAULT_TENANT
from interlock.state.port import ISSUERS
from services.auth.handlers.issuers import Issuers
from services.auth.store import Store

log = structlog.get_logger()
OPERATOR = Principal(tenant=DEFAULT_TENANT, kind=PrincipalKind.SERVICE, name="auth")
"""Whose doing it is: the service's own, as it was told by its settings."""


@dataclass(frozen=True)
class Named:
    """Keeps the default tenant's trust as the file says. What the file does not name stays."""

    store: Store
    issuers: Issuers
    wanted: Sequence[IssuerRecord]
    now: Callable[[], datetime]

    async def ensure(self) -> bool:
        """Trust each that is not trusted like that yet; whether any was. One that does not answer
        is tried again the next time."""
        changed = False
        for record in self.wanted:
            if not await self._is_trusted(record):
                changed |= await self._trust(record)
        return changed

    async def _is_trusted(self, wanted: IssuerRecord) -> bool:
        known = await self.store.read(
            lambda records: records.get(ISSUERS, wanted.tenant, wanted.issuer)
        )
        return known is not None and known.model_copy(update={"jwks": ""}) == wanted

    async def _trust(self, record: IssuerRecord) -> bool:
        await self.store.change(lambda records: records.add_tenant(record.tenant, self.now()))
        try:
            await self.issuers.trust(record, OPERATOR)
        except Refused as error:
            log.warning("issuer.not_trusted", issuer=record.issuer, why=error.detail)
            return False
        return True
