"""What auth publishes, its tenants and signing keys: the port, and its twin in memory."""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, TypeVar, cast

from interlock.bus import Raw
from interlock.contracts.ids import Digest
from interlock.contracts.message import Model
from interlock.state.port import Kind, R
from services.auth.model import Identity, Person, SigningKey, Tenant

T = TypeVar("T")


class Records(Protocol):
    """What one transaction sees and changes. Everything put here is published after it."""

    def get(self, kind: Kind[R], tenant: str, field: str) -> R | None:
        """The record; locked until the transaction ends if it may change."""

    def of(self, kind: Kind[R], tenant: str) -> Mapping[str, R]:
        """All of a tenant by field, in order of fields."""

    def holders(self, kind: Kind[Any], field: str) -> Sequence[str]:
        """Tenants that have a record under `field`."""

    def put(self, kind: Kind[Model], tenant: str, field: str, record: Model | None) -> int:
        """Set a record, or remove it with None. Returns its new version."""

    def state(self, raw: Raw) -> None:
        """State a fact together with what changes."""

    def tenants(self) -> Sequence[str]: ...

    def add_tenant(self, name: str, now: datetime) -> bool:
        """False if it is there already."""

    def tenant(self, name: str) -> Tenant | None:
        """Locked until the transaction ends if it may change."""

    def keep_tenant(self, tenant: Tenant) -> None:
        """Change one that is there."""

    def people(self, tenant: str) -> Sequence[Person]:
        """All of a tenant, in order of names."""

    def person(self, tenant: str, name: str) -> Person | None:
        """Locked until the transaction ends if it may change."""

    def add_person(self, person: Person) -> bool:
        """False if the name is taken; identities are not looked at."""

    def keep_person(self, person: Person) -> Identity | None:
        """Change one that is there. Returns an identity that is another user's, if there is one:
        then nothing may be committed."""

    def signing_keys(self) -> Sequence[SigningKey]: ...

    def keep_signing_key(self, key: SigningKey) -> None:
        """Insert it, or change until when it is published."""

    def forget_signing_key(self, kid: str) -> None: ...

    def use_assertion(self, digest: Digest, ends: datetime) -> bool:
        """Remember an assertion until it has ended; False if it is known already."""

    def forget_assertions(self, now: datetime) -> None:
        """Those that have ended."""


class Store(Protocol):
    """Transactions. `work` may be run again, so it has no effect but on its records."""

    async def change(self, work: Callable[[Records], T]) -> T:
        """All of `work` or nothing."""

    async def read(self, work: Callable[[Records], T]) -> T: ...


@dataclass
class MemoryRecords:
    """Dicts."""

    published: dict[tuple[str, str, str], tuple[int, Model | None]] = field(default_factory=dict)
    stated: list[Raw] = field(default_factory=list)
    known: dict[str, Tenant] = field(default_factory=dict)
    persons: dict[tuple[str, str], Person] = field(default_factory=dict)
    keys: dict[str, SigningKey] = field(default_factory=dict)
    assertions: dict[Digest, datetime] = field(default_factory=dict)

    def get(self, kind: Kind[R], tenant: str, field: str) -> R | None:
        return cast("R | None", self.published.get((kind.name, tenant, field), (0, None))[1])

    def of(self, kind: Kind[R], tenant: str) -> Mapping[str, R]:
        return {
            field: cast("R", record)
            for (name, owner, field), (_, record) in sorted(
                self.published.items(), key=lambda item: item[0]
            )
            if (name, owner) == (kind.name, tenant) and record is not None
        }

    def holders(self, kind: Kind[Any], field: str) -> Sequence[str]:
        return [
            tenant
            for (name, tenant, held), (_, record) in self.published.items()
            if (name, held) == (kind.name, field) and record is not None
        ]

    def put(self, kind: Kind[Model], tenant: str, field: str, record: Model | None) -> int:
        version = self.published.get((kind.name, tenant, field), (0, None))[0] + 1
        self.published[kind.name, tenant, field] = (version, record)
        return version

    def state(self, raw: Raw) -> None:
        self.stated.append(raw)

    def tenants(self) -> Sequence[str]:
        return sorted(self.known)

    def add_tenant(self, name: str, now: datetime) -> bool:
        if name in self.known:
            return False
        self.known[name] = Tenant(name, now)
        return True

    def tenant(self, name: str) -> Tenant | None:
        return self.known.get(name)

    def keep_tenant(self, tenant: Tenant) -> None:
        self.known[tenant.name] = tenant

    def people(self, tenant: str) -> Sequence[Person]:
        return [one for (owner, _), one in sorted(self.persons.items()) if owner == tenant]

    def person(self, tenant: str, name: str) -> Person | None:
        return self.persons.get((tenant, name))

    def add_person(self, person: Person) -> bool:
        return self.persons.setdefault((person.tenant, person.name), person) is person

    def keep_person(self, person: Person) -> Identity | None:
        self.persons[person.tenant, person.name] = person
        others = {
            identity
            for other in self.people(person.tenant)
            if other.name != person.name
            for identity in other.identities
        }
        return next((one for one in person.identities if one in others), None)

    def signing_keys(self) -> Sequence[SigningKey]:
        return list(self.keys.values())

    def keep_signing_key(self, key: SigningKey) -> None:
        self.keys[key.kid] = key

    def forget_signing_key(self, kid: str) -> None:
        self.keys.pop(kid, None)

    def use_assertion(self, digest: Digest, ends: datetime) -> bool:
        return self.assertions.setdefault(digest, ends) is ends

    def forget_assertions(self, now: datetime) -> None:
        self.assertions = {one: ends for one, ends in self.assertions.items() if ends > now}


class MemoryStore:
    """For tests: every change replaces the records as a whole, or not at all."""

    def __init__(self) -> None:
        self.records = MemoryRecords()

    async def change(self, work: Callable[[Records], T]) -> T:
        changed = deepcopy(self.records)
        result = work(changed)
        self.records = changed
        return result

    async def read(self, work: Callable[[Records], T]) -> T:
        return work(self.records)
