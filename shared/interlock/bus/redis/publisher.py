"""Publishing: whatever is asked for while one write is under way leaves together in the next.

With `appendfsync always` that shares fsyncs among callers, as well as system calls.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from hiredis import pack_command
from redis.exceptions import ResponseError

from interlock.bus.envelope import Raw
from interlock.bus.redis.entries import Keys, xadd
from interlock.bus.redis.line import Client, Line, refused
from interlock.errors import Unavailable


@dataclass(frozen=True, slots=True)
class _Asked:
    packed: bytes
    count: int
    accepted: "asyncio.Future[None]"


class Publisher:
    """All publishing of one process, over one connection."""

    def __init__(self, client: Client, keys: Keys) -> None:
        self._line = Line(client)
        self._keys = keys
        self._asked: list[_Asked] = []
        self._sending: asyncio.Task[None] | None = None

    async def publish(self, messages: Sequence[Raw]) -> None:
        """Accepted once Redis has answered for each; else `Unavailable`, and perhaps some are."""
        if not messages:
            return
        stream = self._keys.stream
        packed = b"".join([pack_command(xadd(stream(raw.topic), raw)) for raw in messages])
        accepted = asyncio.get_running_loop().create_future()
        self._asked.append(_Asked(packed, len(messages), accepted))
        if self._sending is None:
            self._sending = asyncio.ensure_future(self._send())
        await accepted

    async def close(self) -> None:
        """What was asked for is sent; nothing may be asked any more."""
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

    async def _send_all(self, asked: Sequence[_Asked]) -> None:
        try:
            await self._line.write(b"".join([one.packed for one in asked]))
            answers = await self._line.answers(sum(one.count for one in asked))
        except Unavailable as error:
            await self._line.drop()
            for one in asked:
                if not one.accepted.done():
                    one.accepted.set_exception(Unavailable(error.detail))
            return
        at = 0
        for one in asked:
            mine, at = answers[at : at + one.count], at + one.count
            no = next((answer for answer in mine if isinstance(answer, ResponseError)), None)
            if one.accepted.done():
                continue
            if no is None:
                one.accepted.set_result(None)
            else:
                one.accepted.set_exception(refused(no))
