"""Commands and scripts on the snapshots, over the bus library's pipe."""

from typing import Any

from redis.exceptions import NoScriptError, ResponseError

from interlock.bus.redis.line import Client
from interlock.bus.redis.pipe import Lost, Pipe
from interlock.errors import Unavailable

__all__ = ["Asking", "Lost", "Script"]


class RefusedByRedis(Unavailable):
    """Redis said no: the command did nothing."""


class Forgotten(RefusedByRedis):
    """Redis does not know the script any more."""


class Asking:
    """One command, one answer; shares its writes with whatever is asked beside it."""

    def __init__(self, client: Client) -> None:
        self._pipe = Pipe(client)

    async def ask(self, *command: Any) -> Any:
        """The answer; `Unavailable` if surely not done, `Lost` if that is not known."""
        (found,) = await self._pipe.ask(command)
        if isinstance(found, ResponseError):
            kind = Forgotten if isinstance(found, NoScriptError) else RefusedByRedis
            raise kind(f"the snapshots cannot be written or read: `{found}`") from None
        return found

    async def close(self) -> None:
        """What was asked is answered; nothing may be asked any more."""
        await self._pipe.close()


class Script:
    """A Lua script, sent by its digest; Redis keeps it until it restarts."""

    def __init__(self, pipe: Asking, source: str, digest: str) -> None:
        self._pipe = pipe
        self._source = source
        self._digest = digest

    async def __call__(self, keys: tuple[str, ...], *arguments: Any) -> Any:
        try:
            return await self._pipe.ask("EVALSHA", self._digest, len(keys), *keys, *arguments)
        except Forgotten:
            pass
        return await self._pipe.ask("EVAL", self._source, len(keys), *keys, *arguments)
