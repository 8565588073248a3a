"""The `Bus` on SQS: its life, and which part does what."""

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from datetime import datetime

from interlock.bus.claims import open_claims
from interlock.bus.envelope import Letter, Raw
from interlock.bus.observe import Observer, Silent
from interlock.bus.port import Backlog, Change, Group, any_letter
from interlock.bus.sqs.address import address
from interlock.bus.sqs.ages import Ages
from interlock.bus.sqs.broker import SqsBroker
from interlock.bus.sqs.dead import DeadLetters
from interlock.bus.sqs.desk import Desk
from interlock.bus.sqs.faults import told
from interlock.bus.sqs.held import Held
from interlock.bus.sqs.member import Member
from interlock.bus.sqs.publisher import Publisher
from interlock.bus.sqs.settling import Settling
from interlock.bus.sqs.source import Reach, Source
from interlock.bus.sqs.topology import changes, look, make
from interlock.bus.verdict import Surroundings
from interlock.bus.wire import Keyring
from interlock.contracts.ids import EventId
from interlock.contracts.topics import topics_of


class SqsBus:
    """A `Bus`."""

    def __init__(
        self,
        url: str,
        keyring: Keyring,
        now: Callable[[], datetime],
        *,
        observer: Observer | None = None,
    ) -> None:
        self._address = address(url)
        self._around = Surroundings(keyring, now, observer or Silent())
        self._ages: defaultdict[str, Ages] = defaultdict(Ages)

    async def open(self) -> None:
        at = self._address
        claims = open_claims(at.bodies) if at.bodies else None
        self._broker = SqsBroker(at.place)
        with told(at.told, running=False):
            self._reach = Reach(await self._broker.connect(), at, claims)
        self._publisher = Publisher(self._reach.connection, at, claims)
        self._desk = Desk(self._reach, self._ages, self._around.now)
        self._dead = DeadLetters(self._reach, self._publisher)
        try:
            await self._desk.greet()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        await self._broker.stop()
        if self._reach.claims is not None:
            await self._reach.claims.close()

    async def plan(self) -> Sequence[Change]:
        found = await look(self._reach.connection, self._address)
        return [change for one in found for change in changes(one)]

    async def apply(self) -> None:
        await make(self._reach.connection, self._address)

    async def publish(self, messages: Sequence[Raw]) -> None:
        await self._publisher.publish(messages)

    async def run(self, group: Group) -> None:
        held = Held(self._reach.connection, self._address.visibility, self._ages)
        sources = [Source(self._reach, topic, group.name) for topic in topics_of(group.name)]
        settling = Settling(group, self._reach, self._publisher, held, self._around)
        await Member(group, sources, held, settling, self._around).run()

    async def check(self) -> None:
        await self._desk.check()

    async def backlog(self, group: str) -> Sequence[Backlog]:
        return await self._desk.backlog(group)

    async def letters(
        self, group: str, limit: int = 100, where: Callable[[Letter], bool] = any_letter
    ) -> Sequence[Letter]:
        return await self._dead.letters(group, limit, where)

    async def letter(self, group: str, letter_id: EventId) -> Letter | None:
        return await self._dead.letter(group, letter_id)

    async def redrive(self, group: str, letter_ids: Collection[EventId]) -> frozenset[EventId]:
        return await self._dead.redrive(group, letter_ids)

    async def drop(self, group: str, letter_ids: Collection[EventId]) -> frozenset[EventId]:
        return await self._dead.drop(group, letter_ids)
