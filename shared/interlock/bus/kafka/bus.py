"""The `Bus` on Kafka: its life, and which part does what."""

from collections.abc import Callable, Collection, Sequence

from interlock.bus.envelope import Letter, Raw
from interlock.bus.kafka.address import parse
from interlock.bus.kafka.delays import Delays
from interlock.bus.kafka.desk import Desk
from interlock.bus.kafka.letters import Letters
from interlock.bus.kafka.link import Link
from interlock.bus.kafka.member import Member
from interlock.bus.kafka.names import Names
from interlock.bus.kafka.publisher import Publisher
from interlock.bus.kafka.seat import Reach
from interlock.bus.kafka.survey import Survey
from interlock.bus.kafka.topology import Topology
from interlock.bus.port import Backlog, Change, Group, any_letter
from interlock.bus.verdict import Surroundings
from interlock.contracts.ids import EventId


class KafkaBus:
    """A `Bus`. `redis_url` is where messages wait for their retry; who only publishes has none."""

    def __init__(
        self,
        url: str,
        around: Surroundings,
        *,
        prefix: str = "interlock:",
        redis_url: str | None = None,
    ) -> None:
        self._around = around
        self._link, names = Link(parse(url)), Names.of(prefix)
        self._delays = Delays(redis_url, prefix)
        self._publisher = Publisher(self._link, names)
        self._survey = Survey(self._link)
        self._letters = Letters(self._survey, self._publisher, names)
        self._desk = Desk(self._link, names, self._survey, self._letters, self._delays)
        self._topology = Topology(self._link, names)
        self._reach = Reach(self._link, names, self._publisher, self._delays, self._survey.ends)
        self._members: set[Member] = set()

    async def open(self) -> None:
        await self._link.open()

    async def close(self) -> None:
        await self._survey.close()
        await self._link.close()
        await self._delays.close()

    async def plan(self) -> Sequence[Change]:
        return await self._topology.plan()

    async def apply(self) -> None:
        await self._topology.apply()

    async def publish(self, messages: Sequence[Raw]) -> None:
        await self._publisher.publish(messages)

    async def run(self, group: Group) -> None:
        self._delays.require()
        member = Member(group, self._reach, self._around)
        self._members.add(member)
        try:
            await member.run()
        finally:
            self._members.discard(member)

    async def check(self) -> None:
        await self._desk.check(self._publisher)

    async def backlog(self, group: str) -> Sequence[Backlog]:
        mine = [one for one in self._members if one.group == group]
        in_hand = [delivery for one in mine for delivery in one.in_hand]
        return await self._desk.backlog(group, in_hand, self._around.now)

    async def letters(
        self, group: str, limit: int = 100, where: Callable[[Letter], bool] = any_letter
    ) -> Sequence[Letter]:
        return await self._letters.letters(group, limit, where)

    async def letter(self, group: str, letter_id: EventId) -> Letter | None:
        return await self._letters.letter(group, letter_id)

    async def redrive(self, group: str, letter_ids: Collection[EventId]) -> frozenset[EventId]:
        return await self._letters.redrive(group, letter_ids)

    async def drop(self, group: str, letter_ids: Collection[EventId]) -> frozenset[EventId]:
        return await self._letters.drop(group, letter_ids)
