"""Two replicas on Redis, bus and snapshots both: any answers for any task."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from interlock.bus.redis import RedisBus
from interlock.bus.redis.line import client_of
from interlock.testing import build
from interlock.testing.build import KEYRING
from services.gateway.store import RedisSessions, RedisSnapshots
from tests.services.gateway.build import World, now, world
from tests.services.gateway.http.raw import call, frames, headers, post
from tests.services.gateway.http.sitting import STICKY, Sitting, older_call, request, sitting
from tests.services.gateway.http.test_rest import CALL, WAIT
from tests.services.gateway.http.test_rounds import ELICIT, SURE, asking
from tests.services.gateway.http.test_stream import start, task_of, tell
from tests.services.gateway.http.test_telling import LOGS, TOKEN, TOLD, busy, params, told


@pytest.fixture
async def real(redis_url: str) -> AsyncIterator[World]:
    bus = RedisBus(redis_url, KEYRING, now)
    client = client_of(redis_url)
    stores: list[RedisSnapshots] = []

    def store(replica: str) -> RedisSnapshots:
        stores.append(RedisSnapshots(client, "interlock:gateway:", replica, keep=86400))
        return stores[-1]

    await bus.open()
    await bus.apply()
    sessions = RedisSessions(client, "interlock:gateway:", 60)
    async with world(bus) as made:
        made.store, made.sessions = store, sessions
        yield made
    await sessions.aclose()
    for one in stores:
        await one.close()
    await bus.close()
    await client.aclose()


async def test_calls_at_two_replicas_all_get_their_own_answer(real: World) -> None:
    async with real.gateway() as one, real.gateway() as two:
        async with one.client() as a, two.client() as b:
            names = [f"customer-{number}" for number in range(40)]
            answers = await asyncio.gather(
                *(
                    post(client, call({"query": name}))
                    for name, client in zip(names, [a, b] * 20, strict=True)
                )
            )
    texts = [answer.json()["result"]["content"][0]["text"] for answer in answers]
    assert texts == [f'{{"query": "{name}"}}' for name in names]
    assert len(real.authority.asked) == 40


async def test_a_wait_and_a_stream_at_the_other_replica_end_with_the_task(real: World) -> None:
    real.authority.judge = start
    async with real.gateway() as one, real.gateway() as two:
        async with one.client() as a, two.client() as b:
            task = (await a.post("/v1/tasks", json=CALL)).json()
            path = f"/v1/tasks/{task['id']}"
            waiting = asyncio.ensure_future(b.get(path, headers=WAIT))
            async with b.stream("GET", f"{path}/events") as stream:
                names = []
                async for name, _ in frames(stream):
                    names.append(name)
                    if name == "task.started":
                        await tell(one, build.succeeded(task_of(one)))
            assert names == ["task.started", "task.succeeded"]
            assert (await waiting).json()["state"] == "succeeded"


async def test_a_call_hears_all_that_either_replica_wrote_down(real: World) -> None:
    real.authority.judge = busy
    async with real.gateway() as one, real.gateway() as two:
        for gateway in (one, two) * 4:
            found = await told(gateway, call(meta=LOGS | TOKEN), headers())
            assert [step["progress"] for step in params(found, "progress")] == [1, 2, 4]
            assert params(found, "message") == [TOLD]


async def test_a_session_is_served_by_replicas_in_turn(real: World) -> None:
    """As behind a round-robin proxy: opened at one, asked at the next, answered at the other."""
    real.authority.judge = asking({"it": ELICIT}, {"it": ELICIT})
    async with real.gateway(STICKY) as one, real.gateway(STICKY) as two:
        async with sitting(one) as at_one, two.client() as other:
            at_two = Sitting(other, at_one.path, at_one.id)
            for here, there in ((at_one, at_two), (at_two, at_one)) * 2:
                async with here.call(older_call(f"turn {len(real.authority.asked)}")) as call:
                    for client in (there, here):
                        question = await call.next()
                        told = await client.answer(question["id"], result=SURE)
                        assert told.status_code == 202
                    ended = await call.next()
                assert json.loads(ended["result"]["content"][0]["text"]) == {"it": SURE}
            assert (await other.delete("/mcp", headers=at_two.headers)).status_code == 204
            assert (await at_one.post(request("ping"))).status_code == 404
    assert [one.body.task.round for one in real.authority.asked] == [0, 1, 2] * 4
