"""How an operator has an upstream let Interlock in, and shuts that door again."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

from interlock.bus import Bus, Stamp
from interlock.contracts.catalogue import ServerRecord
from interlock.contracts.changes import LoginEnded, LoginGranted, StateChanged
from interlock.contracts.ids import derived
from interlock.contracts.task import Principal
from interlock.errors import Refused
from interlock.state.port import View
from services.invocation.clients import Connection, UpstreamError
from services.invocation.clients.oauth import Asked, LogsIn, Revoked

if TYPE_CHECKING:
    from services.invocation.clients.oauth import Access


class Letting:
    """Logs in to servers of the catalogue, whatever their lifecycle: they are reviewed after.

    What it did is stated after it is kept: by whom, never with what.
    """

    def __init__(
        self,
        catalogue: View[ServerRecord],
        logins: LogsIn,
        bus: Bus,
        stamp: Stamp,
        now: Callable[[], datetime],
    ) -> None:
        self._catalogue = catalogue
        self._logins = logins
        self._bus = bus
        self._stamp = stamp
        self._now = now

    async def begin(self, by: Principal, server: str, asked: Asked) -> str | None:
        """The URL at which a person consents; None where none is needed, and we are in."""
        connection = await self._connection(by.tenant, server)
        with _reached():
            url = await self._logins.begin(connection, asked, self._now().timestamp())
            if url is None:
                await self._state_login(by, connection)
        return url

    async def answer(self, by: Principal, server: str, redirected_to: str) -> None:
        """The person came back, with this URL."""
        connection = await self._connection(by.tenant, server)
        with _reached():
            await self._logins.answer(connection, redirected_to, self._now().timestamp())
            await self._state_login(by, connection)

    async def access(self, tenant: str, server: str) -> "Access":
        """What there is; `Refused` (`not_found`) if nothing."""
        connection = await self._connection(tenant, server)
        with _reached():
            access = await self._logins.access(connection)
        if access is None or access.token is None:
            raise Refused(f"nobody logged in to server `{server}`", code="not_found")
        return access

    async def end(self, by: Principal, server: str) -> Revoked:
        """Take it back and forget it; calls carry it for 5 s more at most."""
        connection = await self._connection(by.tenant, server)
        with _reached():
            revoked = await self._logins.end(connection)
        await self._state(LoginEnded(by=by, tenant=by.tenant, name=server))
        return revoked

    async def _state_login(self, by: Principal, connection: Connection) -> None:
        access = await self._logins.access(connection)
        if access is not None:
            await self._state(
                LoginGranted(
                    by=by,
                    tenant=by.tenant,
                    name=connection.server,
                    grant=access.grant.value,
                    issuer=access.discovered.name,
                    scope=(access.tokens.scope if access.tokens is not None else None) or "",
                )
            )

    async def _state(self, fact: StateChanged) -> None:
        made = derived(fact.tenant, fact.name, fact.type, self._now().isoformat())
        await self._bus.publish([self._stamp.state(fact, made, None, None)])

    async def _connection(self, tenant: str, server: str) -> Connection:
        record = self._catalogue.get(tenant, server)
        if record is None:
            await self._catalogue.confirm()
            record = self._catalogue.get(tenant, server)
        if record is None:
            raise Refused(f"there is no server `{server}`", code="not_found")
        return Connection(tenant, server, record.connection)


@contextmanager
def _reached() -> Iterator[None]:
    try:
        yield
    except UpstreamError as error:
        raise Refused(error.detail, code="unreachable") from None
