"""Users as the doors see them: who a token's person is here, and which roles are given here.

A user is linked with identities, each an issuer and what that issuer's tokens call the person (its
`user_claim`). Published of an identity is its digest alone.
"""

import asyncio
import re
import time
from collections.abc import Mapping, Sequence

import orjson

from interlock.contracts.access import Admits, IssuerRecord, UserRecord
from interlock.contracts.ids import USER_NAME, Digest
from interlock.contracts.task import Principal, PrincipalKind, digest_of
from interlock.errors import Refused, Unavailable
from interlock.identity.standing import EVERY_TENANT, Unknown
from interlock.state.port import USERS, StateReader

PATIENCE = 3.0
"""Seconds that a first request waits for its user to be registered."""
GLANCE = 0.02


class Newcomer(Unknown):
    """A person without a user yet, of an issuer whose people become users by signing in."""

    def __init__(self, record: IssuerRecord, subject: str) -> None:
        super().__init__(
            f"`{subject}` could not be registered as a user now; try again", code="unknown_user"
        )
        self.record = record
        self.subject = subject


def identity_digest(issuer: str, subject: str) -> Digest:
    """What is published of an identity."""
    return digest_of(orjson.dumps([issuer, subject]).decode())


def named(user: UserRecord | None, record: IssuerRecord, subject: str, *, taken: bool) -> str:
    """The name of the person whom a token of `record` calls `subject`, linked with `user` if at
    all; `taken` where a user has the name `subject`. Raises `Unknown`, `Newcomer`."""
    if user is not None:
        return user.name
    if record.admits is Admits.NAMED and not taken:
        return subject
    why = "its issuer admits linked users only"
    if taken:
        why = "a registered user has that name"
    elif record.admits is Admits.PROVISIONED:
        if re.fullmatch(USER_NAME, subject):
            raise Newcomer(record, subject)
        why = "that can be no user's name here"
    raise Unknown(
        f"`{subject}` of `{record.issuer}` is linked with no user, and {why}; "
        "`interlock user link` links it",
        code="unknown_user",
    )


class People:
    """Reads published state; only `registered` waits."""

    def __init__(self, reader: StateReader) -> None:
        self._reader = reader
        self._users = reader.view(USERS)
        self._linked: Mapping[tuple[str, Digest], UserRecord] = {}
        self._version = -1

    def name(self, record: IssuerRecord, subject: str) -> str:
        """Whom a token of `record` means; the embedded issuer's name our own users."""
        if record.tenant == EVERY_TENANT:
            return subject
        user = self._of(record.tenant, identity_digest(record.issuer, subject))
        taken = self._users.get(record.tenant, subject) is not None
        return named(user, record, subject, taken=taken)

    def roles(self, who: Principal, said: Sequence[str], *, key: bool) -> tuple[str, ...]:
        """The roles of a caller. A user's are those given here beside those that the token says;
        an API key of a user has those that it names, while the user has them. Every agent is one,
        whatever its token says."""
        if who.kind is PrincipalKind.AGENT:
            return tuple(sorted({*said, "agent"}))
        user = self._users.get(who.tenant, who.name)
        if user is None or who.kind is not PrincipalKind.PERSON:
            return tuple(sorted({*said}))
        given = {*user.roles}
        return tuple(sorted({*said} & given if key else {*said} | given))

    def bound_to(self, record: IssuerRecord, subject: str | None) -> tuple[str, ...]:
        """The identity by which a token's person is a user, with which the access ends."""
        if subject is None or record.tenant == EVERY_TENANT:
            return ()
        digest = identity_digest(record.issuer, subject)
        return (f"identity:{digest}",) if self._of(record.tenant, digest) else ()

    async def registered(self, newcomer: Newcomer) -> bool:
        """Tell auth of a person whom a good token names; whether it is a user now."""
        record, subject = newcomer.record, newcomer.subject
        hint = orjson.dumps([record.issuer, subject]).decode()
        digest = identity_digest(record.issuer, subject)
        try:
            await self._reader.want(USERS, record.tenant, hint)
        except Unavailable:
            return False
        ends = time.monotonic() + PATIENCE
        while time.monotonic() < ends:
            if self._of(record.tenant, digest) is not None:
                return True
            await asyncio.sleep(GLANCE)
        return False

    def _of(self, tenant: str, digest: Digest) -> UserRecord | None:
        if self._version != self._users.version:
            self._version = self._users.version
            self._linked = {
                (tenant, digest): user
                for tenant in self._users.tenants()
                for user in self._users.of(tenant).values()
                for digest in user.identities
            }
        return self._linked.get((tenant, digest))


def provisioning(hint: str) -> tuple[str, str]:
    """Issuer and subject of a hint; `Refused` where it is none."""
    told = orjson.loads(hint)
    if not (isinstance(told, list) and [type(one) for one in told] == [str, str]):
        raise Refused("a hint names an issuer and a subject")
    issuer, subject = told
    return issuer, subject
