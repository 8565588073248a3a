"""One connection to Redis for many askers: what is asked while one write is under way leaves
together in the next, so that under load round trips and fsyncs are shared (see `bus.redis`)."""

import asyncio
from dataclasses import dataclass
from typing import Any

from hiredis import pack_command
from redis.exceptions import NoScriptError, ResponseError

from interlock.bus.redis.line import Client, Line
from interlock.errors import Unavailable


class Lost(Unavailable):
    """The command was sent, perhaps, and its answer will not come."""


class RefusedByRedis(Unavailable):
    """Redis said no: the command did nothing."""


class Forgotten(RefusedByRedis):
    """Redis does not know the script any more."""


@dataclass(frozen=True, slots=True)
class _Asked:
    packed: bytes
    answer: "asyncio.Future[Any]"


class Pipe:
    """Commands in, answers out, in any number at once."""

    def __init__(self, client: Client) -> None:
        self._line = Line(client)
        self._connected = False
        self._asked: list[_Asked] = []
        self._sending: asyncio.Task[None] | None = None

    async def ask(self, *command: Any) -> Any:
        """The answer; `Unavailable` if surely not done, `Lost` if that is not known."""
        answer = asyncio.get_running_loop().create_future()
        self._asked.append(_Asked(pack_command(command), answer))
        if self._sending is None:
            self._sending = asyncio.ensure_future(self._send())
        found = await answer
        if isinstance(found, ResponseError):
            kind = Forgotten if isinstance(found, NoScriptError) else RefusedByRedis
            raise kind(f"the snapshots cannot be written or read: `{found}`") from None
        return found

    async def close(self) -> None:
        """What was asked is answered; nothing may be asked any more."""
        if self._sending is not None:
            await asyncio.wait([self._sending])
        await self._line.drop()

    async def _send(self) -> None:
        try:
            while self._asked:
                asked, self._asked = self._asked, []
                await self._send_all(asked)
        finally:
            self._sending = None

    async def _send_all(self, asked: list[_Asked]) -> None:
        error: type[Unavailable] = Unavailable
        try:
            if not self._connected:
                await self._line.write(b"")  # only connects
                self._connected = True
            error = Lost
            await self._line.write(b"".join([one.packed for one in asked]))
            answers = await self._line.answers(len(asked))
        except Unavailable as why:
            self._connected = False
            await self._line.drop()
            for one in asked:
                if not one.answer.done():
                    one.answer.set_exception(error(why.detail))
            return
        for one, answer in zip(asked, answers, strict=True):
            if not one.answer.done():
                one.answer.set_result(answer)


class Script:
    """A Lua script, sent by its digest; Redis keeps it until it restarts."""

    def __init__(self, pipe: Pipe, source: str, digest: str) -> None:
        self._pipe = pipe
        self._source = source
        self._digest = digest

    async def __call__(self, keys: tuple[str, ...], *arguments: Any) -> Any:
        try:
            return await self._pipe.ask("EVALSHA", self._digest, len(keys), *keys, *arguments)
        except Forgotten:
            pass
        return await self._pipe.ask("EVAL", self._source, len(keys), *keys, *arguments)
