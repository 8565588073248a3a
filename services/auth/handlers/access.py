"""Tenants, agents, API keys and revocations."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import structlog
from joserfc.jwk import OKPKey

from interlock.contracts.access import AgentRecord, ApiKeyRecord, RevocationRecord
from interlock.contracts.changes import (
    AccessRevoked,
    AgentDisabled,
    AgentRegistered,
    KeyCreated,
    TenantCreated,
)
from interlock.contracts.task import Principal, PrincipalKind, digest_of
from interlock.errors import Refused
from interlock.identity import jose
from interlock.identity.keys import write_secret
from interlock.identity.roles import DEFAULT_TENANT
from interlock.identity.tokens import KEY_PREFIX
from interlock.state.port import AGENTS, API_KEYS, REVOCATIONS, USERS
from services.auth import decide
from services.auth.handlers.stating import Stating
from services.auth.store import Records, Store

log = structlog.get_logger()
MOST_KEYS = 8
"""Public keys of one agent."""


@dataclass(frozen=True)
class NewKey:
    """An API key to be made."""

    principal: Principal
    token_scopes: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    expires_at: datetime | None = None


@dataclass(frozen=True)
class Access:
    """Every change is there with its fact and its published record, or not at all."""

    store: Store
    stating: Stating
    now: Callable[[], datetime]
    random_hex: Callable[[int], str]
    """That many random bytes, from the system's source for secrets."""
    private: bool = False
    """Clients may be known by `http` URLs, too."""

    # -- agents ---------------------------------------------------------------------------------

    async def register(self, agent: AgentRecord, by: Principal, *, replace: bool) -> AgentRecord:
        """A new agent, or with `replace` what is told of it now; `Refused` (`conflict`)."""

        def work(records: Records) -> None:
            known = records.get(AGENTS, agent.tenant, agent.name)
            if known is not None and not replace:
                raise Refused(f"an agent `{agent.name}` is registered already", code="conflict")
            if agent.client_id is not None and any(
                other.client_id == agent.client_id and other != known
                for tenant in {agent.tenant, *records.tenants()}
                for other in records.of(AGENTS, tenant).values()
            ):
                raise Refused(f"`{agent.client_id}` is another agent's", code="conflict")
            self._put(records, agent, AgentRegistered(by=by, tenant=agent.tenant, name=agent.name))

        if agent.client_id is not None:
            decide.require_client_url(agent.client_id, self.private)
        for jwk in agent.public_keys:
            thumbprint(jwk)
        await self.store.change(work)
        log.info("agent.registered", tenant=agent.tenant, agent=agent.name)
        return agent

    async def add_public_key(
        self, tenant: str, name: str, jwk: str, by: Principal
    ) -> tuple[AgentRecord, str]:
        """Let `jwk` sign for the agent on the bus. Returns the agent and the key's thumbprint."""
        made = thumbprint(jwk)

        def work(records: Records) -> AgentRecord:
            agent = _agent(records, tenant, name)
            if made in map(thumbprint, agent.public_keys):
                return agent
            if len(agent.public_keys) >= MOST_KEYS:
                raise Refused(
                    f"agent `{name}` has `{MOST_KEYS}` keys already; replace them with "
                    f"`PUT /v1/agents/{name}`",
                    code="conflict",
                )
            keys = (*agent.public_keys, jwk)
            agent = agent.model_copy(update={"public_keys": keys})
            self._put(records, agent, AgentRegistered(by=by, tenant=tenant, name=name))
            return agent

        return await self.store.change(work), made

    async def disable(self, tenant: str, name: str, by: Principal) -> None:
        """End all access of an agent. What it had does not come back when it is enabled again."""

        def work(records: Records) -> None:
            agent = _agent(records, tenant, name).model_copy(update={"enabled": False})
            self._put(records, agent, AgentDisabled(by=by, tenant=tenant, name=name))
            self._revoke(records, tenant, ("agent", name), "disabled", by)

        await self.store.change(work)
        log.info("agent.disabled", tenant=tenant, agent=name)

    def _put(
        self, records: Records, agent: AgentRecord, fact: AgentRegistered | AgentDisabled
    ) -> None:
        self.stating.put(records, AGENTS, agent.name, agent, fact=fact)

    # -- API keys -------------------------------------------------------------------------------

    async def create_key(
        self, new: NewKey, by: Principal, giver: tuple[str, ...]
    ) -> tuple[ApiKeyRecord, str]:
        """Make an API key. Its text is returned here, once, and kept nowhere."""
        decide.require_may_give(new.roles, giver)
        record, text = self._made(new)

        def work(records: Records) -> None:
            who = new.principal
            if who.kind is PrincipalKind.PERSON:
                decide.require_may_have_key(records.get(USERS, who.tenant, who.name), new.roles)
            if who.user is not None:
                decide.require_enabled(records.get(USERS, who.tenant, who.user))
            if who.kind is PrincipalKind.AGENT:
                agent = _agent(records, who.tenant, who.name)
                decide.enabled(agent, agent.name)
                if who.user is not None:
                    decide.require_may_act_for(agent, who.user)
            self._publish_key(records, record, by)

        await self.store.change(work)
        log.info("key.created", tenant=record.tenant, key_id=record.key_id)
        return record, text

    async def revoke_key(self, tenant: str, key_id: str, by: Principal) -> None:
        """End an API key."""

        def work(records: Records) -> None:
            if records.get(API_KEYS, tenant, key_id) is None:
                raise Refused(f"there is no API key `{key_id}`", code="not_found")
            fact = AccessRevoked(by=by, tenant=tenant, name=key_id, kind="key")
            self.stating.put(records, API_KEYS, key_id, None, fact=fact)

        await self.store.change(work)
        log.info("key.revoked", tenant=tenant, key_id=key_id)

    def _made(self, new: NewKey) -> tuple[ApiKeyRecord, str]:
        key_id, secret = self.random_hex(8), self.random_hex(32)
        record = ApiKeyRecord(
            tenant=new.principal.tenant,
            key_id=key_id,
            secret_digest=digest_of(secret),
            principal=new.principal,
            token_scopes=new.token_scopes,
            roles=new.roles,
            issued_at=self.now(),
            expires_at=new.expires_at,
        )
        return record, f"{KEY_PREFIX}{key_id}_{secret}"

    def _publish_key(self, records: Records, record: ApiKeyRecord, by: Principal) -> None:
        fact = KeyCreated(
            by=by, tenant=record.tenant, name=record.key_id, principal=record.principal
        )
        self.stating.put(records, API_KEYS, record.key_id, record, fact=fact)

    # -- revocations ----------------------------------------------------------------------------

    async def revoke(
        self, tenant: str, what: tuple[str, str], reason: str, by: Principal
    ) -> RevocationRecord:
        """Refuse every token of `what` (a kind and a name) that was issued until now."""
        return await self.store.change(
            lambda records: self._revoke(records, tenant, what, reason, by)
        )

    def _revoke(
        self, records: Records, tenant: str, what: tuple[str, str], reason: str, by: Principal
    ) -> RevocationRecord:
        kind, name = what
        record = RevocationRecord(
            tenant=tenant, kind=kind, name=name, not_before=self.now(), reason=reason
        )
        fact = AccessRevoked(by=by, tenant=tenant, name=name, kind=kind, reason=reason)
        self.stating.put(records, REVOCATIONS, f"{kind}:{name}", record, fact=fact)
        return record

    # -- tenants --------------------------------------------------------------------------------

    async def create_tenant(self, name: str, by: Principal) -> tuple[ApiKeyRecord, str]:
        """A new tenant and its first administrator's key; `Refused` (`conflict`)."""
        record, text = self._made(_administrator(name, "admin"))

        def work(records: Records) -> None:
            if not records.add_tenant(name, self.now()):
                raise Refused(f"there is a tenant `{name}` already", code="conflict")
            self._create(records, name, by)
            self._publish_key(records, record, by)

        await self.store.change(work)
        log.info("tenant.created", tenant=name)
        return record, text

    def _create(self, records: Records, name: str, by: Principal) -> None:
        self.stating.say(records, TenantCreated(by=by, tenant=name, name=name), "tenant", name)

    async def bootstrap(self, file: Path) -> bool:
        """At the very first start: the default tenant, and an administrator's key in `file`.

        The file is there before the key counts, so that a crash in between locks nobody out; and
        of several processes only the one whose key counts writes it.
        """
        if await self.store.read(lambda records: records.tenants()):
            return False
        new = _administrator(DEFAULT_TENANT, "operator")
        record, text = self._made(new)

        def work(records: Records) -> bool:
            first = records.add_tenant(DEFAULT_TENANT, self.now())
            if first:
                write_secret(file, f"{text}\n".encode())
                self._create(records, DEFAULT_TENANT, new.principal)
                self._publish_key(records, record, new.principal)
            return first

        first = await self.store.change(work)
        if first:
            log.info("tenant.created", tenant=DEFAULT_TENANT, key_file=str(file))
        return first


def thumbprint(jwk: str) -> str:
    """Of a public Ed25519 key (RFC 7638); `Refused` (`invalid`) where `jwk` is none."""
    try:
        key = jose.public_key(jwk)
    except jose.Unproven as error:
        raise Refused(f"the key is not usable: {error}", code="invalid") from None
    if not isinstance(key, OKPKey) or key.curve_name != jose.ED25519:
        raise Refused("the key is not an Ed25519 key (RFC 8037)", code="invalid")
    return key.thumbprint()


def _agent(records: Records, tenant: str, name: str) -> AgentRecord:
    agent = records.get(AGENTS, tenant, name)
    if agent is None:
        raise Refused(f"there is no agent `{name}`", code="not_found")
    return agent


def _administrator(tenant: str, name: str) -> NewKey:
    person = Principal(tenant=tenant, kind=PrincipalKind.PERSON, name=name)
    return NewKey(person, roles=("admin",))
