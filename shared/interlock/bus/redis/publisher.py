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
        """Accepted, all of them, once Redis has answered; else `Unavailable`, and perhaps they are.

        Several are a transaction: whoever waits for messages is woken by the first that is there,
        and would read it alone.
        """
        if not messages:
            return
        commands = [xadd(self._keys.stream(raw.topic), raw) for raw in messages]
        if len(commands) == 1:
            answers = await self._pipe.ask(*commands)
        else:
            *answers, done = await self._pipe.ask(("MULTI",), *commands, ("EXEC",))
            answers += done if isinstance(done, list) else [done]
        for answer in answers:
            if isinstance(answer, ResponseError):
                raise refused(answer)

    async def close(self) -> None:
        """What was asked for is sent; nothing may be asked any more."""
        await self._pipe.close()
