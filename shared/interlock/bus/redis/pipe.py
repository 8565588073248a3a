"""One connection for many askers: whatever is asked while one write is under way leaves together
in the next. With `appendfsync always` that shares fsyncs among callers, as well as system calls.
"""

import asyncio
from typing import Any, NamedTuple

from hiredis import pack_command

from interlock.bus.redis.line import Client, Command, Line
from interlock.errors import Unavailable


class Lost(Unavailable):
    """The commands were sent, perhaps, and their answers will not come."""


class _Asked(NamedTuple):
    packed: bytes
    number: int
    answers: "asyncio.Future[list[Any]]"


class Pipe:
    """Commands in, answers out, in any number at once."""

    def __init__(self, client: Client) -> None:
        self._line = Line(client)
        self._connected = False
        self._asked: list[_Asked] = []
        self._sending: asyncio.Task[None] | None = None

    async def ask(self, *commands: Command) -> list[Any]:
        """An answer each; a refused command's is its `ResponseError`.

        Raises `Unavailable` if surely nothing was done, `Lost` if that is not known.
        """
        answers: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        packed = b"".join([pack_command(command) for command in commands])
        self._asked.append(_Asked(packed, len(commands), answers))
        if self._sending is None:
            self._sending = asyncio.ensure_future(self._send())
        return await answers

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
            answers = await self._line.answers(sum(one.number for one in asked))
        except Unavailable as why:
            self._connected = False
            await self._line.drop()
            for one in asked:
                if not one.answers.done():
                    one.answers.set_exception(error(why.detail))
            return
        at = 0
        for one in asked:
            mine, at = answers[at : at + one.number], at + one.number
            if not one.answers.done():
                one.answers.set_result(mine)
