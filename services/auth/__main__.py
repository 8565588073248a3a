"""`python -m services.auth`: builds everything that lives as long as the process."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from starlette.routing import Route

from interlock.bus import Group
from interlock.identity.issuer import issuer_url
from interlock.identity.people import provisioning
from interlock.identity.sealing import CLIENT_SECRETS, Seal
from interlock.identity.tokens import Tokens
from interlock.runtime.main import run
from interlock.runtime.relay import Relay
from interlock.runtime.service import Host, Parts, Service
from interlock.state.port import AGENTS, ISSUERS, REVOCATIONS, USERS, StateReader
from services.auth.clients import HttpDiscovery
from services.auth.handlers import (
    Access,
    Delegations,
    Introspecting,
    Issuers,
    Issuing,
    Newcomers,
    Proving,
    Submitted,
    Tenants,
    Users,
)
from services.auth.handlers.documents import Documents
from services.auth.handlers.operators import Named
from services.auth.handlers.stating import Stating
from services.auth.http import (
    Api,
    OAuth,
    TenantsApi,
    UsersApi,
    api_routes,
    oauth_routes,
    tenant_routes,
    user_routes,
)
from services.auth.settings import NamedIssuer, Settings, read_issuers
from services.auth.store import METADATA, SqlStore, SqlSubmissions

OPERATOR_KEY = "operator.key"
"""Below the suite's data folder, for its operator and the CLI."""
TIDY_SECONDS = 60.0
NAMED_SECONDS = 5.0
"""Between two looks whether all issuers of the operator's file are trusted."""


@dataclass(frozen=True)
class Chores:
    """What is done now and then."""

    relay: Relay
    issuers: Issuers
    issuing: Issuing | None
    newcomers: Newcomers
    store: SqlStore
    submissions: SqlSubmissions
    host: Host
    settings: Settings

    async def tidy(self) -> None:
        if self.issuing is not None and await self.issuing.forget():
            await self.relay.flush()
        now = self.host.now()
        await self.store.change(lambda records: records.forget_assertions(now))
        kept = timedelta(days=self.settings.keep_days)
        await self.submissions.forget(now - kept)

    async def look_again(self, reader: StateReader) -> None:
        """A door saw a token under a key that is not published."""
        async for tenant, issuer in reader.wanted(ISSUERS):
            if await self.issuers.look_again(tenant, issuer):
                await self.relay.flush()

    async def register(self, reader: StateReader) -> None:
        """A door saw a good token of a person who is no user yet."""
        async for tenant, hint in reader.wanted(USERS):
            if await self.newcomers.register(tenant, *provisioning(hint)):
                await self.relay.flush()

    async def refresh(self) -> None:
        if await self.issuers.refresh():
            await self.relay.flush()


@asynccontextmanager
async def build(host: Host) -> AsyncIterator[Parts]:
    """Auth's parts. When they are there, so is what the first start makes, for all to see."""
    settings, embedded = Settings(), host.suite.embedded
    database = await host.database(METADATA)
    relay, reader = host.relay(database), host.state(AGENTS, REVOCATIONS)
    store, submissions, stating = SqlStore(database), SqlSubmissions(database), Stating(host.stamp)
    private = _or(settings.private_issuers, embedded)
    access = Access(store, stating, host.now, secrets.token_hex, private)
    named = read_issuers(settings.issuers)
    issuers = _issuers(host, access, _discovery(named, private=private))
    newcomers = Newcomers(store, Users(store, stating, host.now), host.now)
    delegations = _delegations(host, settings, store)
    issuing = _issuing(host, settings, store) if _or(settings.issuer, embedded) else None
    if issuing is not None:
        await issuing.ensure()
    if _or(settings.bootstrap, embedded):
        await access.bootstrap(host.suite.data / OPERATOR_KEY)
    await relay.flush()
    submitted = Submitted(
        submissions, reader.view(AGENTS), delegations, host.stamp, host.signer, host.now
    )
    chores = Chores(relay, issuers, issuing, newcomers, store, submissions, host, settings)
    proving = _proving(host, store, issuers, newcomers)
    api = Api(store, access, issuers, issuing, delegations, relay, host.tokens)
    yield Parts(
        http=[
            *api_routes(api),
            *_people_routes(access, newcomers.users, relay, host.tokens),
            *(_oauth_routes(issuing, proving, host.tokens) if issuing else ()),
        ],
        group=Group("auth", submitted.routes()),
        background=[
            _trusting(Named(store, issuers, [one.record for one in named], host.now), relay),
            _every(TIDY_SECONDS, chores.tidy),
            _every(settings.refresh_seconds, chores.refresh),
            lambda: chores.look_again(reader),
            lambda: chores.register(reader),
        ],
    )


def _people_routes(access: Access, users: Users, relay: Relay, tokens: Tokens) -> list[Route]:
    tenants = Tenants(access.store, access.stating, access.now)
    return [
        *user_routes(UsersApi(users, relay, tokens)),
        *tenant_routes(TenantsApi(tenants, access, relay, tokens)),
    ]


def _oauth_routes(issuing: Issuing, proving: Proving, tokens: Tokens) -> list[Route]:
    return oauth_routes(OAuth(issuing, proving, Introspecting(tokens, issuing.issuer)))


def _issuers(host: Host, access: Access, discovery: HttpDiscovery) -> Issuers:
    seal = Seal(host.stamp.keyring, CLIENT_SECRETS)
    return Issuers(access.store, access.stating, discovery, host.now, seal, access.private)


def _issuing(host: Host, settings: Settings, store: SqlStore) -> Issuing:
    return Issuing(
        store=store,
        stating=Stating(host.stamp),
        seal=Seal(host.stamp.keyring),
        now=host.now,
        random_hex=secrets.token_hex,
        edge=host.suite.url,
        lifetime=timedelta(seconds=settings.token_seconds),
    )


def _delegations(host: Host, settings: Settings, store: SqlStore) -> Delegations:
    return Delegations(
        store=store,
        signer=host.signer,
        trust=host.trust,
        revocations=host.state(REVOCATIONS).view(REVOCATIONS),
        now=host.now,
        longest=timedelta(hours=settings.delegation_hours),
    )


def _proving(host: Host, store: SqlStore, issuers: Issuers, newcomers: Newcomers) -> Proving:
    return Proving(
        store=store,
        agents=host.state(AGENTS).view(AGENTS),
        tokens=host.tokens,
        documents=Documents(issuers.discovery, host.now),
        refetch=issuers.now_of,
        newcomers=newcomers,
        now=host.now,
        issuer=issuer_url(host.suite.url),
    )


def _discovery(named: Sequence[NamedIssuer], *, private: bool) -> HttpDiscovery:
    at = {one.issuer: one.discovery for one in named if one.discovery}
    return HttpDiscovery(private=private, at=at)


def _trusting(named: Named, relay: Relay) -> Callable[[], Awaitable[None]]:
    async def trust() -> None:
        if await named.ensure():
            await relay.flush()

    return _every(NAMED_SECONDS, trust)


def _or(given: bool | None, otherwise: bool) -> bool:
    return otherwise if given is None else given


def _every(seconds: float, job: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    async def again_and_again() -> None:
        while True:
            await job()
            await asyncio.sleep(seconds)

    return again_and_again


service = Service("auth", build)

if __name__ == "__main__":
    run(service)
