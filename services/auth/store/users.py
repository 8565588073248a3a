"""What auth alone knows of users, in its own database."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Select, delete, select, update

from interlock.storage.statements import insert_ignore
from services.auth.model import Identity, Person
from services.auth.store.tables import IDENTITIES, USERS

_PERSON = select(
    USERS.c.tenant,
    USERS.c.name,
    USERS.c.created_at,
    USERS.c.display_name,
    USERS.c.email,
    USERS.c.erased_at,
)


class SqlUsers:
    """The users' part of `Records`, of one transaction."""

    def __init__(self, connection: Connection, *, lock: bool) -> None:
        self._connection = connection
        self._lock = lock

    def people(self, tenant: str) -> Sequence[Person]:
        return self._read(_PERSON.where(USERS.c.tenant == tenant), IDENTITIES.c.tenant == tenant)

    def person(self, tenant: str, name: str) -> Person | None:
        statement = _PERSON.where(USERS.c.tenant == tenant, USERS.c.name == name)
        if self._lock:
            statement = statement.with_for_update()
        own = (IDENTITIES.c.tenant == tenant, IDENTITIES.c.name == name)
        return next(iter(self._read(statement, *own)), None)

    def add_person(self, person: Person) -> bool:
        statement = insert_ignore(USERS).values(_row(person))
        return self._connection.execute(statement).rowcount == 1

    def keep_person(self, person: Person) -> Identity | None:
        own = (USERS.c.tenant == person.tenant, USERS.c.name == person.name)
        self._connection.execute(update(USERS).where(*own).values(_row(person)))
        linked = (IDENTITIES.c.tenant == person.tenant, IDENTITIES.c.name == person.name)
        self._connection.execute(delete(IDENTITIES).where(*linked))
        for one in person.identities:
            row = {"tenant": person.tenant, "name": person.name}
            row |= {"issuer": one.issuer, "subject": one.subject}
            if self._connection.execute(insert_ignore(IDENTITIES).values(row)).rowcount != 1:
                return one
        return None

    def _read(self, statement: Select[Any], *linked: Any) -> Sequence[Person]:
        columns = IDENTITIES.c
        identities = defaultdict(list)
        for name, *identity in self._connection.execute(
            select(columns.name, columns.issuer, columns.subject).where(*linked)
        ):
            identities[name].append(Identity(*identity))
        return [
            Person(**row._asdict(), identities=tuple(sorted(identities[row.name])))
            for row in sorted(self._connection.execute(statement), key=lambda row: str(row.name))
        ]


def _row(person: Person) -> dict[str, Any]:
    return {
        "tenant": person.tenant,
        "name": person.name,
        "created_at": person.created_at,
        "display_name": person.display_name,
        "email": person.email,
        "erased_at": person.erased_at,
    }
