"""The tokens of upstreams: shared with all replicas, renewed by one of them at a time."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog
from mcp.client.auth import OAuthClientProvider
from pydantic import ValidationError

from interlock.errors import Refused, Unavailable
from services.invocation.clients.oauth.asked import Grant
from services.invocation.clients.oauth.driving import NO_CREDENTIAL, Driver
from services.invocation.clients.oauth.kept import Access, name_of
from services.invocation.clients.oauth.providers import Found, discovered, provider_of
from services.invocation.clients.port import Connection, Place, Reach, UpstreamError
from services.invocation.clients.secrets import Secrets
from services.invocation.decide import authorizing
from services.invocation.model import Challenge

log = structlog.get_logger()
LOOK_SECONDS = 5.0
"""After so long what another replica has changed is seen: a new consent, or its end."""
CLOSE_SECONDS = 10.0
"""For what an authorization server was asked, when the process ends."""
LONG_AGO = 1.0
"""Seconds since 1970; the SDK takes 0 for never."""


@dataclass(frozen=True)
class _Seen:
    access: Access | None
    at: float


class Keeper:
    """Gives tokens to calls. `now` is in seconds since 1970."""

    def __init__(self, secrets: Secrets, driver: Driver, now: Callable[[], float]) -> None:
        self._secrets = secrets
        self._driver = driver
        self._now = now
        self._seen: dict[Place, _Seen] = {}
        self._renewing: set[asyncio.Task[str]] = set()

    def lately_none(self, connection: Connection) -> bool:
        """Whether it is sure, without a look, that a call carries no token."""
        seen = self._seen.get(connection.place)
        return seen is not None and seen.access is None and self._is_news(seen)

    def _is_news(self, seen: _Seen) -> bool:
        return asyncio.get_running_loop().time() - seen.at < LOOK_SECONDS

    async def token(self, connection: Connection) -> str | None:
        """What a call may carry; None where nobody let us in, which many upstreams do not want."""
        seen = self._seen.get(connection.place)
        if seen is not None and self._is_news(seen):
            access = seen.access
        else:
            access = await self.look(connection)
        if access is None:
            return None
        if access.refreshable and authorizing.ends_soon(access.expires_at, self._now()):
            return await self.renewed(connection, access.token, Challenge(401, ""))
        return access.token

    async def look(self, connection: Connection) -> Access | None:
        """What is kept."""
        async with _unsent(connection):
            text = await self._secrets.read(name_of(connection))
        access = None if text is None else _read(connection, text)
        self._seen[connection.place] = _Seen(access, asyncio.get_running_loop().time())
        return access

    async def keep(self, connection: Connection, access: Access | None) -> None:
        """Replace what is kept. To be called alone."""
        async with _unsent(connection):
            if access is None:
                await self._secrets.forget(name_of(connection))
            else:
                await self._secrets.write(name_of(connection), access.model_dump_json())
        self._seen[connection.place] = _Seen(access, asyncio.get_running_loop().time())

    @asynccontextmanager
    async def alone(self, connection: Connection) -> AsyncIterator[Access | None]:
        """What is kept, while nobody else changes it."""
        async with _unsent(connection), self._secrets.alone(name_of(connection)):
            yield await self.look(connection)

    async def renewed(self, connection: Connection, used: str | None, refusal: Challenge) -> str:
        """A token in place of `used`, which the upstream refused or which ends soon.

        Goes on if its caller is cancelled: a refresh token that was sent is good no more, and what
        came for it must be kept. `Refused` (`no_credential`) where only a person can help.
        """
        renewing = asyncio.create_task(self._replaced(connection, used, refusal))
        self._renewing.add(renewing)
        renewing.add_done_callback(self._ended)
        return await asyncio.shield(renewing)

    async def close(self) -> None:
        """Let what was begun end."""
        if self._renewing:
            await asyncio.wait(self._renewing, timeout=CLOSE_SECONDS)

    def _ended(self, renewing: "asyncio.Task[str]") -> None:
        self._renewing.discard(renewing)
        if not renewing.cancelled():
            renewing.exception()  # whoever waits sees it; perhaps nobody does any more

    async def _replaced(self, connection: Connection, used: str | None, refusal: Challenge) -> str:
        async with self.alone(connection) as access:
            if access is None:
                raise _unknown(connection)
            newer = access.token is not None and access.token != used
            if newer and not authorizing.ends_soon(access.expires_at, self._now()):
                assert access.token is not None
                return access.token
            renewed = await self._renewed(connection, access, refusal)
            if renewed.token is None:
                raise _ended(connection)
            log.info("upstream.token_renewed", server=connection.server, grant=access.grant.value)
            return renewed.token

    async def _renewed(self, connection: Connection, access: Access, refusal: Challenge) -> Access:
        step_up = refusal.status == 403
        if access.refreshable and not step_up:
            refreshed = await self._run(connection, access, None)
            if refreshed.token is not None:
                return refreshed
            access = refreshed
        if access.grant is Grant.CLIENT_CREDENTIALS:
            return await self._run(connection, access, refusal)
        if step_up:
            wanted = authorizing.field(refusal.told, "scope")
            await self.keep(connection, access.model_copy(update={"wanted": wanted}))
            raise _lacking(connection, wanted)
        raise _ended(connection)

    async def _run(
        self, connection: Connection, access: Access, refusal: Challenge | None
    ) -> Access:
        """Refresh (without a refusal), or ask anew; what comes of it is kept at once."""
        stale = access.model_copy(update={"expires_at": LONG_AGO}) if refusal is None else access
        provider, found = provider_of(_url(connection), stale)
        await self._driver.run(provider, connection, refusal)
        after = self.after(access, provider, found)
        await self.keep(connection, after)
        return after

    def after(self, access: Access, provider: OAuthClientProvider, found: Found) -> Access:
        """What a flow has left; no tokens where what there was is worth nothing any more."""
        tokens = provider.context.current_tokens
        lives = tokens.expires_in if tokens is not None else None
        return access.model_copy(
            update={
                "tokens": tokens,
                "expires_at": self._now() + lives if lives is not None else None,
                "client": found.client,
                "discovered": discovered(provider),
            }
        )


@asynccontextmanager
async def _unsent(connection: Connection) -> AsyncIterator[None]:
    """Whatever our secret store fails at, the upstream was not asked."""
    try:
        yield
    except Unavailable as error:
        log.warning("secrets.unavailable", server=connection.server, why=error.detail)
        raise UpstreamError(
            Reach.NOT_SENT, f"the credentials of server `{connection.server}` cannot be fetched"
        ) from None


def _read(connection: Connection, text: str) -> Access | None:
    """What is no access (any more) is as good as none; what is in it is told to nobody."""
    try:
        return Access.model_validate_json(text)
    except ValidationError:
        log.warning("secrets.unreadable", server=connection.server)
        return None


def _url(connection: Connection) -> str:
    return str(getattr(connection.at, "url", ""))


def _unknown(connection: Connection) -> Refused:
    hint = authorizing.login_hint(connection.server)
    return Refused(
        f"server `{connection.server}` wants authorization, and nobody gave it: {hint}",
        code=NO_CREDENTIAL,
    )


def _ended(connection: Connection) -> Refused:
    hint = authorizing.login_hint(connection.server)
    return Refused(
        f"server `{connection.server}` does not accept what Interlock was given any more: {hint}",
        code=NO_CREDENTIAL,
    )


def _lacking(connection: Connection, wanted: str | None) -> Refused:
    hint = authorizing.login_hint(connection.server)
    return Refused(
        f"server `{connection.server}` wants the scopes `{wanted or '?'}` for that, which nobody "
        f"consented to: {hint}",
        code=NO_CREDENTIAL,
    )
