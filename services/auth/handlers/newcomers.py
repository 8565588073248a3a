"""Whom the tokens of an issuer mean here, and people who come for the first time."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

import structlog

from interlock.contracts.access import Admits, IssuerRecord
from interlock.contracts.task import Principal, PrincipalKind
from interlock.errors import Refused
from interlock.identity.people import Newcomer, identity_digest, named
from interlock.state.port import ISSUERS, USERS
from services.auth.handlers.users import Told, Users
from services.auth.model import Identity, Person
from services.auth.store import Records, Store

log = structlog.get_logger()


@dataclass(frozen=True)
class Newcomers:
    """Names people by what is stored, and registers whom an issuer admits."""

    store: Store
    users: Users
    now: Callable[[], datetime]

    async def named(self, record: IssuerRecord, subject: str) -> tuple[str, tuple[str, ...]]:
        """Whom an issuer's proven assertion means, by the name that the person has here, and what
        that rests on. `Refused` (`unknown_user`) where it is nobody.
        """
        try:
            return await self.store.read(lambda records: _named(records, record, subject))
        except Newcomer:
            await self.register(record.tenant, record.issuer, subject)
        return await self.store.read(lambda records: _named(records, record, subject))

    async def register(self, tenant: str, issuer: str, subject: str) -> bool:
        """Make a user of a person whom a good token named, unless it is one already or its issuer
        admits none; whether one was made."""

        def work(records: Records) -> bool:
            record = records.get(ISSUERS, tenant, issuer)
            if record is None or record.admits is not Admits.PROVISIONED:
                return False
            try:
                _named(records, record, subject)
            except Newcomer:
                told = Told(identities=(Identity(issuer, subject),))
                itself = Principal(tenant=tenant, kind=PrincipalKind.SERVICE, name="auth")
                self.users.insert(records, Person(tenant, subject, self.now()), told, itself)
                return True
            return False

        made = False
        with suppress(Refused):  # another process was faster, or somebody has the name
            made = await self.store.change(work)
        if made:
            log.info("user.registered", tenant=tenant, user=subject, issuer=issuer)
        return made


def _named(records: Records, record: IssuerRecord, subject: str) -> tuple[str, tuple[str, ...]]:
    digest = identity_digest(record.issuer, subject)
    users = records.of(USERS, record.tenant)
    linked = next((one for one in users.values() if digest in one.identities), None)
    name = named(linked, record, subject, taken=subject in users)
    return name, () if linked is None else (f"identity:{digest}",)
