"""Snapshots in Redis, below `<prefix>`: hashes `<tenant>:task:<id>`, logs, and indexes."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from hashlib import sha1
from typing import Any

import orjson
from redis.exceptions import RedisError

from interlock.bus import BusEntry, Raw
from interlock.contracts.outcomes import TaskSettled, TaskSucceeded
from interlock.contracts.task import Client, Principal, Task, TaskState
from interlock.contracts.topics import Topic
from interlock.errors import Unavailable, Unsure
from services.gateway.decide import merge, rejoin
from services.gateway.model import (
    Happened,
    InDoubt,
    Milestone,
    Place,
    Request,
    Sent,
    Snapshot,
    Unpublished,
)
from services.gateway.store import rows, scripts
from services.gateway.store.memory import conflict
from services.gateway.store.pipe import Asking, Lost, Run, Script
from services.gateway.store.port import (
    GRACE,
    LEASE,
    LOG_AT_ONCE,
    LONGEST_WAIT,
    MOST_PROGRESS,
    MOST_RECENT,
    NOTICED,
    REPUBLISH_AFTER,
    Accepting,
    Applied,
    Given,
    Giving,
    Wake,
)

AT_ONCE = 200
LOOK_AGAIN = 1.0


class RedisSnapshots:
    """`Snapshots` of one replica. `keep` is in seconds from the end, the others as their names."""

    def __init__(  # noqa: PLR0913 times, each with its usual value
        self,
        redis: Any,
        prefix: str,
        replica: str,
        *,
        keep: float,
        grace: float = GRACE,
        lease: float = LEASE,
        entry: BusEntry | None = None,
    ) -> None:
        """`entry`: how the bus keeps a message, where it does so in this very Redis."""
        self._redis = redis
        self._entry = entry
        self._keys = rows.Keys(prefix)
        self._replica = replica
        self._keep = int(keep * 1000)
        self._grace = grace
        self._lease = int(lease * 1000)
        self._pipe = Asking(redis)
        self._accept = self._script(scripts.ACCEPT)
        self._rejoin = self._script(scripts.REJOIN)
        self._renew = self._script(scripts.RENEW)
        self._leave = self._script(scripts.LEAVE)
        self._ask = self._script(scripts.ASK)
        self._project = self._script(scripts.PROJECT)
        self._published = self._script(scripts.PUBLISHED)
        self._watch = self._script(scripts.WATCH)
        self._due = self._script(scripts.DUE)
        self._answer = self._script(scripts.ANSWER)
        self._give = self._script(scripts.GIVE)

    def _script(self, source: str) -> Script:
        return Script(self._pipe, source, sha1(source.encode(), usedforsecurity=False).hexdigest())

    async def close(self) -> None:
        await self._pipe.close()

    @property
    def publishes(self) -> bool:
        return self._entry is not None

    async def accept(self, new: Accepting) -> Snapshot | InDoubt | None:
        task, place, keys = new.snapshot.task, new.snapshot.place, self._keys
        at = keys.task(place), keys.unpublished, keys.deadlines, keys.of(task.principal)
        about, (stream, written) = self._about(new.snapshot), self._written(new)
        try:
            if new.rejoins:
                equal = keys.equal(task)
                rejoining = self._rejoining(new)
                said = await self._rejoin((*at, equal, *stream), *about, *rejoining, *written)
            else:
                said = await self._accept((*at, *stream), *about, *written)
        except Lost as error:
            raise Unsure(
                f"task `{task.id}` was perhaps accepted: {error.detail}; look at it later"
            ) from None
        if said == 0:
            return None
        if isinstance(said, list):
            return InDoubt(said[0])
        there = await self.read(Place(place.tenant, said.decode()) if said not in {1, 2} else place)
        if there is None:  # its time was over just now
            return await self.accept(new)
        if said == 2:
            raise conflict(there)
        return there

    def _written(self, new: Accepting) -> tuple[tuple[str, ...], tuple[Any, ...]]:
        """The bus's stream, where it is here; and all parts of the snapshot and of its entry."""
        fields = rows.accepted(new, self._replica, published=self.publishes)
        if self._entry is None:
            return (), (len(fields), *fields)
        stream, entry = self._entry(new.raw)
        return (stream,), (len(fields), *fields, *entry)

    def _about(self, snapshot: Snapshot) -> tuple[Any, ...]:
        task, created = snapshot.task, rows.ms(snapshot.created_at)
        again = created + int(REPUBLISH_AFTER * 1000)
        member = rows.member(snapshot.place)
        known = task.request_digest, member, created, again, self._ask_at(task)
        return *known, task.id, MOST_RECENT

    def _rejoining(self, new: Accepting) -> tuple[Any, ...]:
        oldest = rows.text(new.snapshot.created_at - rejoin.UNTOLD)
        tasks = self._keys.tasks(new.snapshot.task.tenant)
        since = new.since or ""
        return self._lease, since, oldest, merge.ENDED, tasks, self._keep, int(NOTICED * 1000)

    async def renew(self, tasks: Sequence[Task]) -> None:
        keys = tuple(self._keys.equal(task) for task in tasks)
        await self._renew(keys, self._lease, *(task.id for task in tasks))

    async def leave(self, task: Task, *, told: bool) -> None:
        place = Place(task.tenant, task.id)
        await self._leave((self._keys.task(place), self._keys.equal(task)), task.id, int(told))

    def _ask_at(self, task: Task) -> int:
        return rows.ms(task.deadline) + int(self._grace * 1000)

    async def published(self, requests: Sequence[Sent]) -> None:
        await self._published(
            (self._keys.unpublished,),
            *(self._keys.prefix, merge.SUBMITTED, TaskState.SUBMITTED.value),
            *(part for one in requests for part in (rows.member(one.place), one.round)),
        )

    async def request(self, place: Place) -> Request | None:
        arguments, client = await self._pipe.ask(
            "HMGET", self._keys.task(place), "arguments", "client"
        )
        if arguments is None or client is None:
            return None
        return Request(arguments.decode(), Client.model_validate_json(client))

    async def answer(self, asked: Snapshot, answers: Sequence[tuple[str, str]]) -> Snapshot | None:
        members = ((key, merge.member(key, text)) for key, text in answers)
        found = await self._answer(
            (self._keys.task(asked.place),),
            *(asked.rank, asked.task.round),
            *(part for pair in members for part in pair),
        )
        return None if found is None else replace(asked, answers=found.decode())

    async def give(self, new: Giving) -> Given:
        task, place = new.task, Place(new.task.tenant, new.task.id)
        fields = {
            "task": task.__pydantic_serializer__.to_json(task),
            "rank": merge.input_given(task.round),
            "state": TaskState.SUBMITTED.value,
            "updated": rows.text(new.now),
            "out_attributes": orjson.dumps({"topic": new.raw.topic, **new.raw.attributes}),
            "out_body": new.raw.body,
        }
        try:
            said = await self._give(
                (self._keys.task(place), self._keys.unpublished),
                *(
                    new.asked.rank if new.asked else "",
                    task.round,
                    task.request_digest,
                    rows.member(place),
                ),
                rows.ms(new.now) + int(REPUBLISH_AFTER * 1000),
                *(part for pair in fields.items() for part in pair),
            )
        except Lost as error:
            raise Unsure(
                f"the input of task `{task.id}` was perhaps taken: {error.detail}; give it again"
            ) from None
        return Given(said)

    async def ask(self, task: Task, request: str) -> None:
        key = self._keys.asked(task.principal, request)
        await self._ask((key,), task.id, int(LONGEST_WAIT * 1000))

    async def unask(self, task: Task, request: str) -> None:
        await self._pipe.ask("SREM", self._keys.asked(task.principal, request), task.id)

    async def asked(self, principal: Principal, request: str) -> Sequence[Place]:
        found = await self._pipe.ask("SMEMBERS", self._keys.asked(principal, request))
        return [Place(principal.tenant, one.decode()) for one in found]

    async def project(self, events: Sequence[Happened]) -> Sequence[Applied]:
        said = await self._project.each([self._projection(event) for event in events])
        return [Applied(one) for one in said]

    def _projection(self, event: Happened) -> Run:
        fact, keys, place = event.fact, self._keys, event.place
        task, time = fact.task, rows.text(event.time)
        # A result may be large: the log leaves it to the snapshot, which keeps it as long.
        logged = b"" if isinstance(fact, TaskSucceeded | TaskSettled) else event.body
        return (keys.task(place), keys.log(place), keys.deadlines, keys.of(task.principal)), (
            *(event.id, merge.rank_of(fact), merge.state_of(fact).value, fact.type, time),
            *(event.body, int(merge.weight_of(fact)), task.request_digest, rows.member(place)),
            *(self._ask_at(task), rows.ms(event.time), task.id),
            *(self._replica, keys.channel, self._keep, merge.ENDED, MOST_PROGRESS, logged),
        )

    async def watch(self, place: Place) -> None:
        await self._watch((self._keys.task(place),), self._replica)

    async def read(self, place: Place) -> Snapshot | None:
        return rows.snapshot(await self._pipe.ask("HMGET", self._keys.task(place), *rows.FIELDS))

    async def log(self, place: Place, after: int) -> Sequence[Milestone]:
        entries = await self._pipe.ask(
            "LRANGE", self._keys.log(place), after, after + LOG_AT_ONCE - 1
        )
        return [rows.milestone(after + at, entry) for at, entry in enumerate(entries, 1)]

    async def recent(self, principal: Principal, limit: int) -> Sequence[Snapshot]:
        index = self._keys.of(principal)
        ids = await self._pipe.ask("ZRANGE", index, 0, limit - 1, "REV")
        places = [Place(principal.tenant, one.decode()) for one in ids]
        found = await asyncio.gather(*map(self.read, places))
        gone = [place.task_id for place, one in zip(places, found, strict=True) if one is None]
        if gone:
            await self._pipe.ask("ZREM", index, *gone)
        return [one for one in found if one is not None]

    async def unpublished(self, now: datetime) -> Sequence[Unpublished]:
        places = await self._take_due(self._keys.unpublished, now, REPUBLISH_AFTER)
        fields = ("out_attributes", "out_body", "out_round")
        found = await asyncio.gather(
            *(self._pipe.ask("HMGET", self._keys.task(place), *fields) for place in places)
        )
        requests = []
        for place, (attributes, body, round_) in zip(places, found, strict=True):
            if attributes is None:
                await self._pipe.ask("ZREM", self._keys.unpublished, rows.member(place))
                continue
            given = orjson.loads(attributes)
            raw = Raw(Topic(given.pop("topic")), given, body)
            requests.append(Unpublished(place, raw, int(round_ or 0)))
        return requests

    async def overdue(self, now: datetime) -> Sequence[Task]:
        places = await self._take_due(self._keys.deadlines, now, self._grace)
        tasks = []
        for place in places:
            snapshot = await self.read(place)
            if snapshot is None or snapshot.final:
                await self._pipe.ask("ZREM", self._keys.deadlines, rows.member(place))
            else:
                tasks.append(snapshot.task)
        return tasks

    async def _take_due(self, index: str, now: datetime, again: float) -> list[Place]:
        next_time = rows.ms(now) + int(again * 1000)
        members = await self._due((index,), rows.ms(now), next_time, AT_ONCE)
        return [rows.place(member) for member in members]

    async def run(self, wake: Wake) -> None:
        while True:
            try:
                async with self._redis.pubsub(ignore_subscribe_messages=True) as channel:
                    await channel.subscribe(f"{self._keys.channel}{self._replica}")
                    async for message in channel.listen():
                        wake(rows.place(message["data"]))
            except (RedisError, OSError) as error:
                raise Unavailable(f"announcements cannot be heard: `{error}`") from None
            await asyncio.sleep(LOOK_AGAIN)
