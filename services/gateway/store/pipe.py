"""Commands and scripts on the snapshots, over the bus library's pipe."""

from collections.abc import Sequence
from typing import Any

from redis.exceptions import NoScriptError, ResponseError

from interlock.bus.redis.line import Client, Command
from interlock.bus.redis.pipe import Lost, Pipe
from interlock.errors import Unavailable

__all__ = ["Asking", "Lost", "Script"]

Run = tuple[tuple[str, ...], tuple[Any, ...]]
"""A script's keys and arguments."""


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
        return (await self.ask_all([command]))[0]

    async def ask_all(self, commands: Sequence[Command]) -> list[Any]:
        """An answer each, or the error of the first that Redis refused."""
        answers = await self._pipe.ask(*commands)
        for found in answers:
            if isinstance(found, ResponseError):
                kind = Forgotten if isinstance(found, NoScriptError) else RefusedByRedis
                raise kind(f"the snapshots cannot be written or read: `{found}`") from None
        return answers

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
        return (await self.each([(keys, arguments)]))[0]

    async def each(self, runs: Sequence[Run]) -> list[Any]:
        """Run it for all, one after another, in one exchange; an answer each."""
        given = [(len(keys), *keys, *arguments) for keys, arguments in runs]
        try:
            return await self._pipe.ask_all([("EVALSHA", self._digest, *one) for one in given])
        except Forgotten:
            pass
        return await self._pipe.ask_all([("EVAL", self._source, *one) for one in given])
