"""What auth publishes, its tenants and signing keys, in its own database."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select, text, update

from interlock.bus import Raw
from interlock.contracts.ids import Digest
from interlock.contracts.message import Model
from interlock.state.port import Kind, R
from interlock.storage.database import Database
from interlock.storage.outbox import publish_state, state_fact
from interlock.storage.statements import insert_ignore, insert_or
from services.auth.model import SigningKey, Tenant
from services.auth.store.access import Records, T
from services.auth.store.tables import (
    ASSERTIONS,
    PUBLISHED,
    SIGNING_KEYS,
    TENANTS,
)
from services.auth.store.users import SqlUsers

_ALONE = text(f"LOCK TABLE {SIGNING_KEYS.name} IN SHARE ROW EXCLUSIVE MODE")


class SqlRecords(SqlUsers):
    """`Records` of one transaction."""

    def get(self, kind: Kind[R], tenant: str, field: str) -> R | None:
        statement = (
            select(PUBLISHED.c.body)
            .where(PUBLISHED.c.kind == kind.name)
            .where(PUBLISHED.c.tenant == tenant, PUBLISHED.c.field == field)
        )
        if self._lock:
            statement = statement.with_for_update()
        body = self._connection.execute(statement).scalar()
        return None if body is None else kind.record.model_validate_json(body)

    def of(self, kind: Kind[R], tenant: str) -> Mapping[str, R]:
        rows = self._connection.execute(
            select(PUBLISHED.c.field, PUBLISHED.c.body)
            .where(PUBLISHED.c.kind == kind.name, PUBLISHED.c.tenant == tenant)
            .where(PUBLISHED.c.body.is_not(None))
        )
        return {
            field: kind.record.model_validate_json(body)
            for field, body in sorted(rows, key=lambda row: str(row.field))
        }

    def holders(self, kind: Kind[Any], field: str) -> Sequence[str]:
        return self._connection.scalars(
            select(PUBLISHED.c.tenant)
            .where(PUBLISHED.c.kind == kind.name, PUBLISHED.c.field == field)
            .where(PUBLISHED.c.body.is_not(None))
        ).all()

    def put(self, kind: Kind[Model], tenant: str, field: str, record: Model | None) -> int:
        return publish_state(self._connection, kind, tenant, field, record)

    def state(self, raw: Raw) -> None:
        state_fact(self._connection, raw)

    def tenants(self) -> Sequence[str]:
        return self._connection.scalars(select(TENANTS.c.name).order_by(TENANTS.c.name)).all()

    def add_tenant(self, name: str, now: datetime) -> bool:
        statement = insert_ignore(TENANTS).values(name=name, created_at=now)
        return self._connection.execute(statement).rowcount == 1

    def tenant(self, name: str) -> Tenant | None:
        columns = TENANTS.c
        statement = select(columns.name, columns.created_at, columns.disabled_at).where(
            columns.name == name
        )
        if self._lock:
            statement = statement.with_for_update()
        row = self._connection.execute(statement).one_or_none()
        return None if row is None else Tenant(*row)

    def keep_tenant(self, tenant: Tenant) -> None:
        changed = update(TENANTS).where(TENANTS.c.name == tenant.name)
        self._connection.execute(changed.values(disabled_at=tenant.disabled_at))

    def signing_keys(self) -> Sequence[SigningKey]:
        columns = SIGNING_KEYS.c
        statement = select(
            columns.kid,
            columns.public,
            columns.sealed,
            columns.created_at,
            columns.published_until,
        )
        if self._lock and self._connection.dialect.name == "postgresql":
            # Rows could not be locked before there are any: two first starts would make a key each.
            self._connection.execute(_ALONE)
        return [SigningKey(*row) for row in self._connection.execute(statement)]

    def keep_signing_key(self, key: SigningKey) -> None:
        row = {
            "kid": key.kid,
            "public": key.public,
            "sealed": key.sealed,
            "created_at": key.created_at,
            "published_until": key.published_until,
        }
        until = {"published_until": key.published_until}
        self._connection.execute(insert_or(SIGNING_KEYS, ["kid"], until).values(**row))

    def forget_signing_key(self, kid: str) -> None:
        self._connection.execute(delete(SIGNING_KEYS).where(SIGNING_KEYS.c.kid == kid))

    def use_assertion(self, digest: Digest, ends: datetime) -> bool:
        statement = insert_ignore(ASSERTIONS).values(digest=digest, ends_at=ends)
        return self._connection.execute(statement).rowcount == 1

    def forget_assertions(self, now: datetime) -> None:
        self._connection.execute(delete(ASSERTIONS).where(ASSERTIONS.c.ends_at <= now))


class SqlStore:
    """Transactions of auth's database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def change(self, work: Callable[[Records], T]) -> T:
        return await self._database.run(lambda it: work(SqlRecords(it, lock=True)))

    async def read(self, work: Callable[[Records], T]) -> T:
        return await self._database.read(lambda it: work(SqlRecords(it, lock=False)))
