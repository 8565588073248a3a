"""Dead letters: a queue too, so whoever reads it takes its letters, and gives them back.

One reading at a time in this process. Two processes that read at once each see a part.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence

from interlock.bus.envelope import Letter, Raw
from interlock.bus.sqs import entries
from interlock.bus.sqs.broker.connection import Message
from interlock.bus.sqs.broker.lanes import TEN
from interlock.bus.sqs.desk import VISIBLE
from interlock.bus.sqs.faults import told
from interlock.bus.sqs.publisher import Publisher
from interlock.bus.sqs.source import Reach, fetched
from interlock.contracts.ids import EventId
from interlock.contracts.topics import Topic, topics_of
from interlock.errors import Unreadable

HIDDEN_FOR = 60
"""Seconds for which a letter that is being looked at is not there for others."""
MOST = 20_000
"""Letters that one pass reads of a queue."""

Pick = Callable[[Letter], bool]


class DeadLetters:
    """Of every group."""

    def __init__(self, reach: Reach, publisher: Publisher) -> None:
        self._reach = reach
        self._publisher = publisher
        self._turn = asyncio.Lock()

    async def letters(self, group: str, limit: int, where: Pick) -> Sequence[Letter]:
        found: dict[EventId, Letter] = {}
        for topic in topics_of(group):
            for letter in await self._look(topic, group, where):
                found.setdefault(letter.letter_id, letter)  # it may lie there twice
        return sorted(found.values(), key=lambda one: (one.parked_at, one.letter_id))[:limit]

    async def letter(self, group: str, letter_id: EventId) -> Letter | None:
        found = await self.letters(group, 1, lambda one: one.letter_id == letter_id)
        return found[0] if found else None

    async def redrive(self, group: str, letter_ids: Collection[EventId]) -> frozenset[EventId]:
        return await self._take(group, letter_ids, send=True)

    async def drop(self, group: str, letter_ids: Collection[EventId]) -> frozenset[EventId]:
        return await self._take(group, letter_ids, send=False)

    async def _look(self, topic: Topic, group: str, where: Pick) -> list[Letter]:
        found = []
        queue = self._reach.address.dead(topic, group)
        async with self._turn:
            messages = await self._read(queue)
            try:
                for message in messages:
                    letter = await self._whole(entries.letter(message, topic, group), message)
                    if where(letter):
                        found.append(letter)
            finally:
                await self._give_back(queue, messages)
        return found

    async def _whole(self, letter: Letter, message: Message) -> Letter:
        claim = entries.kept(message).claim
        if claim is None:
            return letter
        try:
            body = await fetched(self._reach, claim)
        except Unreadable:
            return letter
        return letter._replace(raw=Raw(letter.raw.topic, letter.raw.attributes, body))

    async def _take(
        self, group: str, letter_ids: Collection[EventId], send: bool
    ) -> frozenset[EventId]:
        """In one pass over each queue. A letter that lies there twice is sent once."""
        taken: set[EventId] = set()
        for topic in topics_of(group) if letter_ids else ():
            queue = self._reach.address.dead(topic, group)
            async with self._turn:
                messages = await self._read(queue)
                mine: dict[str, tuple[EventId, Message]] = {}
                try:
                    for message in messages:
                        letter = entries.letter(message, topic, group)
                        if letter.letter_id in letter_ids:
                            mine[message["ReceiptHandle"]] = letter.letter_id, message
                    if send:
                        await self._resend(topic, group, dict(mine.values()))
                    await self._delete(queue, list(mine))
                    taken |= {letter_id for letter_id, _ in mine.values()}
                finally:
                    rest = [one for one in messages if one["ReceiptHandle"] not in mine]
                    await self._give_back(queue, rest)
        return frozenset(taken)

    async def _resend(self, topic: Topic, group: str, letters: dict[EventId, Message]) -> None:
        if letters:
            queue = self._reach.address.queue(topic, group)
            copies = [entries.revived(message, topic) for message in letters.values()]
            await self._publisher.send({queue: copies})

    async def _read(self, queue: str) -> list[Message]:
        """All of a queue's letters, hidden from others for a while.

        A read without waiting may miss what is there; so while SQS says that more is, one waits.
        """
        messages: list[Message] = []
        connection = self._reach.connection
        with told(self._reach.address.told, queue):
            wait = 0
            while len(messages) < MOST:
                got = await connection.receive(queue, TEN, wait, HIDDEN_FOR)
                messages += got
                if not got:
                    left = int((await connection.attributes(queue)).get(VISIBLE, 0))
                    if wait or not left:
                        break
                wait = 0 if got else 1
        return messages

    async def _give_back(self, queue: str, messages: Sequence[Message]) -> None:
        with told(self._reach.address.told, queue):
            handles = [message["ReceiptHandle"] for message in messages]
            await self._reach.connection.show(queue, handles, 0)

    async def _delete(self, queue: str, handles: Sequence[str]) -> None:
        with told(self._reach.address.told, queue):
            await self._reach.connection.delete(queue, handles)
