"""An operator has an upstream let Interlock in: with a person's consent, or as Interlock itself."""

import secrets
from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

import structlog
from jwt import PyJWTError
from mcp.client.auth import OAuthFlowError
from mcp.client.auth.utils import union_scopes, validate_authorization_response_iss

from interlock.contracts.catalogue import HttpConnection
from interlock.errors import Refused
from services.invocation.clients.oauth.asked import Asked, Grant, Revoked
from services.invocation.clients.oauth.driving import Driver, unlet
from services.invocation.clients.oauth.keeping import Keeper
from services.invocation.clients.oauth.kept import Access, Pending
from services.invocation.clients.oauth.providers import Consenting, provider_of, resumed
from services.invocation.clients.oauth.revoking import endpoint, revocations
from services.invocation.clients.port import Connection, Upstream, UpstreamError
from services.invocation.decide import authorizing
from services.invocation.model import Challenge

log = structlog.get_logger()


class Logins:
    """`document` is the URL of our client id metadata document, where we have one."""

    def __init__(
        self, plain: Upstream, keeper: Keeper, driver: Driver, document: str | None
    ) -> None:
        self._plain = plain
        self._keeper = keeper
        self._driver = driver
        self._document = document

    async def begin(self, connection: Connection, asked: Asked, now: float) -> str | None:
        """The URL at which a person consents; None where none is needed, and we are in."""
        refusal = await self._refusal(connection)
        async with self._keeper.alone(connection) as before:
            access = before or Access()
            if asked.grant is Grant.CLIENT_CREDENTIALS:
                await self._as_ourselves(connection, asked, refusal)
                return None
            provider = await self._consenting(connection, access, asked, refusal)
            assert provider.pending is not None, "a flow without tokens ends nowhere else"
            begun = provider.pending.model_copy(update={"begun_at": now})
            await self._keeper.keep(connection, access.model_copy(update={"pending": begun}))
        log.info("upstream.consent_asked", server=connection.server, issuer=begun.discovered.name)
        return provider.consent_url

    async def answer(self, connection: Connection, redirected_to: str, now: float) -> None:
        """The person came back, with this URL. It is good once, and for the last `begin` alone."""
        told = parse_qs(urlsplit(redirected_to).query)
        said = {name: values[0] for name, values in told.items()}
        async with self._keeper.alone(connection) as access:
            pending = access.pending if access is not None else None
            late = pending is None or now > pending.begun_at + authorizing.LOGIN_SECONDS
            if access is None or pending is None or late:
                raise unlet(connection, "nobody waits for this consent (any more)")
            if not secrets.compare_digest(said.get("state", "").encode(), pending.state.encode()):
                raise unlet(connection, "the consent is another login's: its `state` differs")
            rest = access.model_copy(update={"pending": None})
            await self._keeper.keep(connection, rest)
            await self._exchange(connection, rest, pending, _code(connection, said, pending))
        log.info("upstream.consented", server=connection.server, issuer=pending.discovered.name)

    async def access(self, connection: Connection) -> Access | None:
        """What is kept: not to be shown as it is."""
        return await self._keeper.look(connection)

    async def end(self, connection: Connection) -> Revoked:
        """Take back what was given where that can be done, and forget all that is kept of it."""
        async with self._keeper.alone(connection) as access:
            revoked = await self._revoked(connection, access)
            await self._keeper.keep(connection, None)
        log.info("upstream.logged_out", server=connection.server, revoked=revoked.done)
        return revoked

    async def _revoked(self, connection: Connection, access: Access | None) -> Revoked:
        at = None if access is None else endpoint(access)
        if access is None or access.tokens is None:
            return Revoked(False, "nothing was kept")
        if at is None:
            return Revoked(False, f"`{access.discovered.name}` has no endpoint for that")
        try:
            return await self._given_back(connection, access, at)
        except (OAuthFlowError, ValueError, PyJWTError):  # of their words some are the key's
            return Revoked(False, "who we are there can no longer be proven")
        except (Refused, UpstreamError) as error:
            return Revoked(False, error.detail)

    async def _given_back(self, connection: Connection, access: Access, at: str) -> Revoked:
        for request in await revocations(_url(connection), access, at):
            answer = await self._driver.exchange(connection, request)
            if answer.status_code != HTTPStatus.OK:
                said = f"`{access.discovered.name}` answered with HTTP status"
                return Revoked(False, f"{said} `{answer.status_code}`")
        return Revoked(True)

    async def _refusal(self, connection: Connection) -> Challenge:
        """What the upstream asks of somebody whom it does not know."""
        try:
            await self._plain.inspect(connection)
        except UpstreamError as error:
            refusal = error.unlet
            if refusal is None:
                raise
            return refusal
        raise Refused(
            f"server `{connection.server}` lets anybody in: there is nothing to log in to",
            code="conflict",
        )

    async def _as_ourselves(self, connection: Connection, asked: Asked, refusal: Challenge) -> None:
        access = Access(grant=Grant.CLIENT_CREDENTIALS, registration=asked.registration)
        provider, found = provider_of(_url(connection), access)
        await self._driver.run(provider, connection, refusal)
        await self._keeper.keep(connection, self._keeper.after(access, provider, found))
        log.info("upstream.let_in", server=connection.server, grant=asked.grant.value)

    async def _consenting(
        self, connection: Connection, access: Access, asked: Asked, refusal: Challenge
    ) -> Consenting:
        url = _url(connection)
        wanted = union_scopes(access.wanted, asked.scope)
        told = {"registration": asked.registration, "wanted": wanted}
        provider = Consenting(
            url, access.model_copy(update=told), asked.redirect_uri, self._document
        )
        await self._driver.run(provider, connection, refusal)
        unfit = authorizing.unfit_url(provider.consent_url, url, secret=True)
        if unfit is not None:
            raise unlet(connection, unfit)
        return provider

    async def _exchange(
        self, connection: Connection, access: Access, pending: Pending, code: str
    ) -> None:
        provider = resumed(_url(connection), access, pending)
        request = await provider.exchange(code, pending.verifier)
        await provider.exchanged(await self._driver.send(connection, request))
        gone = Access(registration=pending.registration)
        provider.found.client = pending.client
        after = self._keeper.after(gone, provider, provider.found)
        await self._keeper.keep(connection, after)


def _code(connection: Connection, said: Mapping[str, str], pending: Pending) -> str:
    """What the consent is exchanged with, if it comes from whom we asked (RFC 9207)."""
    try:
        validate_authorization_response_iss(said.get("iss"), pending.discovered.server)
    except OAuthFlowError:
        raise unlet(
            connection,
            f"the consent does not come from `{pending.discovered.name}` (`iss` differs)",
        ) from None
    if "code" not in said:
        raise unlet(connection, f"consent was refused with `{authorizing.error_code(said)}`")
    return said["code"]


def _url(connection: Connection) -> str:
    if not isinstance(connection.at, HttpConnection):
        raise Refused(
            f"server `{connection.server}` is a process of our own: there is nobody to log in to",
            code="conflict",
        )
    return connection.at.url
