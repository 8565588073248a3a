"""How one asks to be let in."""

from typing import TYPE_CHECKING, Protocol

from services.invocation.clients.oauth.asked import Asked, Revoked
from services.invocation.clients.port import Connection

if TYPE_CHECKING:
    from services.invocation.clients.oauth.kept import Access


class LogsIn(Protocol):
    """`Logins`, for those who ask for one."""

    async def begin(self, connection: Connection, asked: Asked, now: float) -> str | None: ...
    async def answer(self, connection: Connection, redirected_to: str, now: float) -> None: ...
    async def access(self, connection: Connection) -> "Access | None": ...
    async def end(self, connection: Connection) -> Revoked: ...
