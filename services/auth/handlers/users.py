"""Users: people whom a tenant knows, who signs in as them, and what is given to them here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from interlock.contracts.access import (
    AgentRecord,
    ApiKeyRecord,
    RevocationRecord,
    UserRecord,
)
from interlock.contracts.changes import (
    AccessRevoked,
    AgentRegistered,
    StateChanged,
    UserDisabled,
    UserEnabled,
    UserErased,
    UserRegistered,
)
from interlock.contracts.task import Principal, PrincipalKind
from interlock.errors import Refused
from interlock.identity.people import identity_digest
from interlock.identity.tokens import Caller
from interlock.state.port import AGENTS, API_KEYS, REVOCATIONS, USERS
from services.auth import decide
from services.auth.handlers.stating import Stating
from services.auth.model import Identity, Person
from services.auth.store import Records, Store

log = structlog.get_logger()


@dataclass(frozen=True)
class Told:
    """What may be told of a user; None leaves it as it is."""

    display_name: str | None = None
    email: str | None = None
    roles: tuple[str, ...] | None = None
    identities: tuple[Identity, ...] | None = None


@dataclass(frozen=True)
class Known:
    """A user, with what belongs to it."""

    person: Person
    record: UserRecord
    agents: tuple[str, ...] = ()
    """Those that may act for it."""
    keys: tuple[str, ...] = ()
    """Ids of its API keys."""


@dataclass(frozen=True)
class Users:
    """Every change is there with its fact and its published record, or not at all.

    Nobody changes a user who has rights that they lack: they could sign in as that user.
    """

    store: Store
    stating: Stating
    now: Callable[[], datetime]

    # -- reading --------------------------------------------------------------------------------

    async def show(self, tenant: str, name: str) -> Known:
        """`Refused` (`not_found`)."""

        def work(records: Records) -> Known:
            known = _known(records, tenant, name)
            agents = records.of(AGENTS, tenant).values()
            keys = records.of(API_KEYS, tenant).values()
            return replace(
                known,
                agents=tuple(one.name for one in agents if {name, "*"} & {*one.may_act_for}),
                keys=tuple(one.key_id for one in keys if _is_of(one, name)),
            )

        return await self.store.read(work)

    async def all(self, tenant: str) -> Mapping[str, Known]:
        """Users of a tenant by name, without those that were erased, nor what belongs to them."""

        def work(records: Records) -> Mapping[str, Known]:
            published = records.of(USERS, tenant)
            people = [one for one in records.people(tenant) if one.erased_at is None]
            return {one.name: Known(one, published[one.name]) for one in people}

        return await self.store.read(work)

    # -- changing -------------------------------------------------------------------------------

    async def add(self, name: str, told: Told, by: Caller) -> Known:
        """A new user; `Refused` (`conflict`)."""
        tenant = by.principal.tenant
        decide.require_may_give(told.roles or (), by.roles)

        def work(records: Records) -> Known:
            keys = records.of(API_KEYS, tenant).values()
            decide.require_keys_fit(name, told.roles or (), keys)
            return self.insert(records, Person(tenant, name, self.now()), told, by.principal)

        known = await self.store.change(work)
        log.info("user.registered", tenant=tenant, user=name)
        return known

    async def change(self, name: str, told: Told, by: Caller) -> Known:
        """Let it be as told; a role that is taken away is gone from its API keys, too."""

        def work(records: Records) -> Known:
            known = self._changeable(records, name, by)
            if told.roles is not None:
                decide.require_may_give(told.roles, by.roles)
                if {*known.record.roles} - {*told.roles}:
                    decide.require_another(by.principal, name)
            return self._told(records, known, told, by.principal)

        known = await self.store.change(work)
        log.info("user.registered", tenant=by.principal.tenant, user=name)
        return known

    async def link(self, name: str, identity: Identity, by: Caller) -> Known:
        """Let an identity sign in as the user."""

        def work(records: Records) -> Known:
            known = self._changeable(records, name, by)
            identities = tuple(sorted({*known.person.identities, identity}))
            return self._told(records, known, Told(identities=identities), by.principal)

        return await self.store.change(work)

    async def unlink(self, name: str, identity: Identity, by: Caller) -> Known:
        """What the identity let in ends; `Refused` (`not_found`)."""

        def work(records: Records) -> Known:
            known = self._changeable(records, name, by)
            kept = tuple(one for one in known.person.identities if one != identity)
            if kept == known.person.identities:
                raise Refused(
                    f"`{identity.subject}` of `{identity.issuer}` is not linked with user `{name}`",
                    code="not_found",
                )
            return self._told(records, known, Told(identities=kept), by.principal)

        return await self.store.change(work)

    async def disable(self, name: str, by: Caller) -> None:
        """End all access of a user. What it had does not come back when it is enabled again."""

        def work(records: Records) -> None:
            known = self._changeable(records, name, by)
            decide.require_another(by.principal, name)
            fact = UserDisabled(by=by.principal, tenant=known.record.tenant, name=name)
            self._put(records, known.record.model_copy(update={"enabled": False}), fact)
            self._revoke(records, known.record, "disabled", by.principal)

        await self.store.change(work)
        log.info("user.disabled", tenant=by.principal.tenant, user=name)

    async def enable(self, name: str, by: Caller) -> None:
        """Let the user sign in again; keys and tokens of before stay refused."""

        def work(records: Records) -> None:
            known = self._changeable(records, name, by)
            fact = UserEnabled(by=by.principal, tenant=known.record.tenant, name=name)
            self._put(records, known.record.model_copy(update={"enabled": True}), fact)

        await self.store.change(work)
        log.info("user.enabled", tenant=by.principal.tenant, user=name)

    async def erase(self, name: str, by: Caller) -> None:
        """End a user, and forget what is known of it but its name, which the ledger knows, and
        digests of its identities, so that they let nobody in."""

        def work(records: Records) -> None:
            known = self._changeable(records, name, by)
            decide.require_another(by.principal, name)
            tenant = known.record.tenant
            blank = Person(tenant, name, known.person.created_at, erased_at=self.now())
            records.keep_person(blank)
            gone = known.record.model_copy(update={"enabled": False, "roles": ()})
            self._put(records, gone, UserErased(by=by.principal, tenant=tenant, name=name))
            self._revoke(records, known.record, "erased", by.principal)
            self._forget_keys(records, tenant, name, by.principal)
            for agent in records.of(AGENTS, tenant).values():
                if name in agent.may_act_for:
                    self._may_act(records, agent, name, False, by.principal)

        await self.store.change(work)
        log.info("user.erased", tenant=by.principal.tenant, user=name)

    async def let_act(self, name: str, agent: str, may: bool, by: Caller) -> None:
        """Whether an agent may act for the user; `Refused` (`not_found`)."""

        def work(records: Records) -> None:
            known = self._changeable(records, name, by)
            found = records.get(AGENTS, known.record.tenant, agent)
            if found is None:
                raise Refused(f"there is no agent `{agent}`", code="not_found")
            if (name in found.may_act_for) != may:
                self._may_act(records, found, name, may, by.principal)

        await self.store.change(work)

    # -- parts ----------------------------------------------------------------------------------

    def _changeable(self, records: Records, name: str, by: Caller) -> Known:
        known = _known(records, by.principal.tenant, name)
        if known.person.erased_at is not None:
            raise Refused(f"user `{name}` was erased", code="conflict")
        decide.require_may_give(known.record.roles, by.roles)
        return known

    def insert(self, records: Records, person: Person, told: Told, by: Principal) -> Known:
        """A new user, in a transaction; `Refused` (`conflict`)."""
        if records.add_person(person):
            record = UserRecord(tenant=person.tenant, name=person.name)
            return self._told(records, Known(person, record), told, by)
        there = records.person(person.tenant, person.name)
        erased = there is not None and there.erased_at is not None
        raise Refused(
            f"there was a user `{person.name}`, who was erased; take another name"
            if erased
            else f"there is a user `{person.name}` already",
            code="conflict",
        )

    def _told(self, records: Records, known: Known, told: Told, by: Principal) -> Known:
        was = known.person
        person = replace(
            was,
            display_name=was.display_name if told.display_name is None else told.display_name,
            email=was.email if told.email is None else told.email,
            identities=was.identities if told.identities is None else told.identities,
        )
        taken = records.keep_person(person)
        if taken is not None:
            raise Refused(
                f"`{taken.subject}` of `{taken.issuer}` is linked with another user",
                code="conflict",
            )
        digests = tuple(identity_digest(one.issuer, one.subject) for one in person.identities)
        _release(records, person, {*digests})
        roles = known.record.roles if told.roles is None else tuple(sorted({*told.roles}))
        record = known.record.model_copy(update={"roles": roles, "identities": digests})
        fact = UserRegistered(by=by, tenant=record.tenant, name=record.name, roles=roles)
        self._put(records, record, fact)
        return replace(known, person=person, record=record)

    def _put(self, records: Records, user: UserRecord, fact: StateChanged) -> None:
        self.stating.put(records, USERS, user.name, user, fact=fact)

    def _revoke(self, records: Records, user: UserRecord, why: str, by: Principal) -> None:
        revoked = RevocationRecord(
            tenant=user.tenant, kind="user", name=user.name, not_before=self.now(), reason=why
        )
        fact = AccessRevoked(by=by, tenant=user.tenant, name=user.name, kind="user", reason=why)
        self.stating.put(records, REVOCATIONS, f"user:{user.name}", revoked, fact=fact)

    def _forget_keys(self, records: Records, tenant: str, name: str, by: Principal) -> None:
        for key in records.of(API_KEYS, tenant).values():
            if _is_of(key, name) or key.principal.user == name:
                fact = AccessRevoked(by=by, tenant=tenant, name=key.key_id, kind="key")
                self.stating.put(records, API_KEYS, key.key_id, None, fact=fact)

    def _may_act(
        self, records: Records, agent: AgentRecord, name: str, may: bool, by: Principal
    ) -> None:
        others = tuple(one for one in agent.may_act_for if one != name)
        changed = agent.model_copy(update={"may_act_for": (*others, name) if may else others})
        fact = AgentRegistered(by=by, tenant=agent.tenant, name=agent.name)
        self.stating.put(records, AGENTS, agent.name, changed, fact=fact)


def _known(records: Records, tenant: str, name: str) -> Known:
    person, record = records.person(tenant, name), records.get(USERS, tenant, name)
    if person is None or record is None:
        raise Refused(f"there is no user `{name}`", code="not_found")
    return Known(person, record)


def _release(records: Records, person: Person, digests: set[str]) -> None:
    """Who was erased may come back, as another user."""
    for other in records.of(USERS, person.tenant).values():
        kept = tuple(one for one in other.identities if one not in digests)
        if other.name != person.name and kept != other.identities:
            freed = other.model_copy(update={"identities": kept})
            records.put(USERS, person.tenant, other.name, freed)


def _is_of(key: ApiKeyRecord, name: str) -> bool:
    return key.principal.kind is PrincipalKind.PERSON and key.principal.name == name
