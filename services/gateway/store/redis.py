"""Snapshots in Redis, below `<prefix>`: hashes `<tenant>:task:<id>`, logs, and three indexes."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha1
from typing import Any

import orjson
from pydantic import ValidationError
from redis.exceptions import RedisError

from interlock.bus import Raw
from interlock.contracts.outcomes import TaskSettled, TaskSucceeded
from interlock.contracts.registry import MESSAGES
from interlock.contracts.task import Principal, Task, TaskEvent, TaskState
from interlock.contracts.topics import Topic
from interlock.errors import Unavailable
from services.gateway.decide import merge
from services.gateway.decide.tell import facts_of
from services.gateway.model import Happened, Milestone, Place, Snapshot, Unpublished, Unsure
from services.gateway.store import scripts
from services.gateway.store.memory import conflict
from services.gateway.store.pipe import Asking, Lost, Script
from services.gateway.store.port import (
    GRACE,
    MOST_PROGRESS,
    MOST_RECENT,
    REPUBLISH_AFTER,
    Accepting,
    Applied,
    Wake,
)

FIELDS = ("task", "state", "rank", "type", "fact_id", "fact", "created", "updated")
AT_ONCE = 200
LOOK_AGAIN = 1.0


@dataclass(frozen=True)
class Keys:
    """What everything is called."""

    prefix: str

    def task(self, place: Place) -> str:
        return f"{self.prefix}{place.tenant}:task:{place.task_id}"

    def log(self, place: Place) -> str:
        return f"{self.prefix}{place.tenant}:log:{place.task_id}"

    def of(self, principal: Principal) -> str:
        user = "" if principal.user is None else f":{principal.user}"
        return f"{self.prefix}{principal.tenant}:by:{principal.kind}:{principal.name}{user}"

    @property
    def unpublished(self) -> str:
        return f"{self.prefix}unpublished"

    @property
    def deadlines(self) -> str:
        return f"{self.prefix}deadlines"

    @property
    def channel(self) -> str:
        return f"{self.prefix}wake:"


class RedisSnapshots:
    """`Snapshots` of one replica. `keep` is in seconds from the end, `grace` as `GRACE`."""

    def __init__(
        self, redis: Any, prefix: str, replica: str, *, keep: float, grace: float = GRACE
    ) -> None:
        self._redis = redis
        self._keys = Keys(prefix)
        self._replica = replica
        self._keep = int(keep * 1000)
        self._grace = grace
        self._pipe = Asking(redis)
        self._accept = self._script(scripts.ACCEPT)
        self._project = self._script(scripts.PROJECT)
        self._published = self._script(scripts.PUBLISHED)
        self._watch = self._script(scripts.WATCH)
        self._due = self._script(scripts.DUE)

    def _script(self, source: str) -> Script:
        return Script(self._pipe, source, sha1(source.encode(), usedforsecurity=False).hexdigest())

    async def close(self) -> None:
        await self._pipe.close()

    async def accept(self, new: Accepting) -> Snapshot | None:
        snapshot, keys = new.snapshot, self._keys
        task, place = snapshot.task, snapshot.place
        created = _ms(snapshot.created_at)
        fields = {
            "task": task.__pydantic_serializer__.to_json(task),
            "state": snapshot.state.value,
            "rank": snapshot.rank,
            "created": _text(snapshot.created_at),
            "updated": _text(snapshot.updated_at),
            "doors": f"{self._replica},",
            "out_attributes": orjson.dumps({"topic": new.raw.topic, **new.raw.attributes}),
            "out_body": new.raw.body,
        }
        try:
            said = await self._accept(
                (keys.task(place), keys.unpublished, keys.deadlines, keys.of(task.principal)),
                *(task.request_digest, _member(place), created),
                *(created + int(REPUBLISH_AFTER * 1000), self._ask_at(task)),
                *(task.id, MOST_RECENT),
                *(part for pair in fields.items() for part in pair),
            )
        except Lost as error:
            raise Unsure(
                f"task `{task.id}` was perhaps accepted: {error.detail}; look at it later"
            ) from None
        there = None if said == 0 else await self.read(place)
        if said == 2 and there is not None:
            raise conflict(there)
        return there

    def _ask_at(self, task: Task) -> int:
        return _ms(task.deadline) + int(self._grace * 1000)

    async def published(self, places: Sequence[Place]) -> None:
        await self._published(
            (self._keys.unpublished,),
            *(self._keys.prefix, merge.SUBMITTED, TaskState.SUBMITTED.value),
            *map(_member, places),
        )

    async def project(self, events: Sequence[Happened]) -> Sequence[Applied]:
        said = await asyncio.gather(*map(self._project_one, events))
        return [Applied(one) for one in said]

    async def _project_one(self, event: Happened) -> Any:
        fact, keys, place = event.fact, self._keys, event.place
        task, time = fact.task, _text(event.time)
        # A result may be large: the log leaves it to the snapshot, which keeps it as long.
        logged = b"" if isinstance(fact, TaskSucceeded | TaskSettled) else event.body
        return await self._project(
            (keys.task(place), keys.log(place), keys.deadlines, keys.of(task.principal)),
            *(event.id, merge.rank_of(fact), merge.state_of(fact).value, fact.type, time),
            *(event.body, int(merge.tells_progress(fact)), task.request_digest, _member(place)),
            *(self._ask_at(task), _ms(event.time), task.id),
            *(self._replica, keys.channel, self._keep, merge.ENDED, MOST_PROGRESS, logged),
        )

    async def watch(self, place: Place) -> None:
        await self._watch((self._keys.task(place),), self._replica)

    async def read(self, place: Place) -> Snapshot | None:
        return _snapshot(await self._pipe.ask("HMGET", self._keys.task(place), *FIELDS))

    async def log(self, place: Place, after: int) -> Sequence[Milestone]:
        entries = await self._pipe.ask("LRANGE", self._keys.log(place), after, after + AT_ONCE - 1)
        return [_milestone(after + at, entry) for at, entry in enumerate(entries, 1)]

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
        fields = ("out_attributes", "out_body")
        found = await asyncio.gather(
            *(self._pipe.ask("HMGET", self._keys.task(place), *fields) for place in places)
        )
        requests = []
        for place, (attributes, body) in zip(places, found, strict=True):
            if attributes is None:
                await self._pipe.ask("ZREM", self._keys.unpublished, _member(place))
                continue
            given = orjson.loads(attributes)
            requests.append(Unpublished(place, Raw(Topic(given.pop("topic")), given, body)))
        return requests

    async def overdue(self, now: datetime) -> Sequence[Task]:
        places = await self._take_due(self._keys.deadlines, now, self._grace)
        tasks = []
        for place in places:
            snapshot = await self.read(place)
            if snapshot is None or snapshot.final:
                await self._pipe.ask("ZREM", self._keys.deadlines, _member(place))
            else:
                tasks.append(snapshot.task)
        return tasks

    async def _take_due(self, index: str, now: datetime, again: float) -> list[Place]:
        next_time = _ms(now) + int(again * 1000)
        members = await self._due((index,), _ms(now), next_time, AT_ONCE)
        return [_place(member) for member in members]

    async def run(self, wake: Wake) -> None:
        while True:
            try:
                async with self._redis.pubsub(ignore_subscribe_messages=True) as channel:
                    await channel.subscribe(f"{self._keys.channel}{self._replica}")
                    async for message in channel.listen():
                        wake(_place(message["data"]))
            except (RedisError, OSError) as error:
                raise Unavailable(f"announcements cannot be heard: `{error}`") from None
            await asyncio.sleep(LOOK_AGAIN)


def _snapshot(fields: Sequence[bytes | None]) -> Snapshot | None:
    found = {name: value for name, value in zip(FIELDS, fields, strict=True) if value is not None}
    if "state" not in found:
        return None
    fact = _fact(found["type"].decode(), found["fact"]) if "fact" in found else None
    if fact is None and "task" not in found:
        return None
    return Snapshot(
        task=Task.model_validate_json(found["task"]) if fact is None else fact.task,
        state=TaskState(found["state"].decode()),
        rank=found["rank"].decode(),
        created_at=datetime.fromisoformat(found["created"].decode()),
        updated_at=datetime.fromisoformat(found["updated"].decode()),
        fact=fact,
        fact_id=found.get("fact_id", b"").decode(),
    )


def _fact(type_: str, body: bytes) -> TaskEvent | None:
    """A fact; None where a newer version of the gateway wrote it."""
    message = MESSAGES.get(type_)
    if message is None or not issubclass(message, TaskEvent):
        return None
    try:
        return message.model_validate_json(body)
    except ValidationError:
        return None


def _milestone(number: int, entry: bytes) -> Milestone:
    type_, time, body = entry.split(b" ", 2)
    fact = _fact(type_.decode(), body) if body else None
    moment = datetime.fromisoformat(time.decode())
    return Milestone(number, type_.decode(), moment, None if fact is None else facts_of(fact))


def _member(place: Place) -> str:
    return f"{place.tenant}/{place.task_id}"


def _place(member: bytes) -> Place:
    return Place(*member.decode().split("/", 1))


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _text(moment: datetime) -> str:
    """Sorts like the moments."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
