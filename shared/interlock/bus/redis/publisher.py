"""Publishing, over one connection for the whole process."""

from collections.abc import Sequence

from redis.exceptions import ResponseError

from interlock.bus.envelope import Raw
from interlock.bus.redis.entries import Keys, xadd
from interlock.bus.redis.line import Client, refused
from interlock.bus.redis.pipe import Pipe


class Publisher:
    """All publishing of one process."""

    def __init__(self, client: Client, keys: Keys) -> None:
        self._pipe = Pipe(client)
        self._keys = keys

    async def publish(self, messages: Sequence[Raw]) -> None:
        """Accepted once Redis has answered for each; else `Unavailable`, and perhaps some are."""
        if not messages:
            return
        stream = self._keys.stream
        for answer in await self._pipe.ask(*(xadd(stream(raw.topic), raw) for raw in messages)):
            if isinstance(answer, ResponseError):
                raise refused(answer)

    async def close(self) -> None:
        """What was asked for is sent; nothing may be asked any more."""
        await self._pipe.close()
