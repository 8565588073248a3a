"""The same hops with nothing of Interlock in them: `python -m tests.bench.bare --port 9107 …`.

What `reference/hot-path.md` calls the bare prototype: a door, three streams, Cedar, a journal, the
upstream, a hash chain; one process, the bare drivers, no signature, no trace, no model, no retry.
Beside it a governed call says what guarantees cost on this machine at this minute.
"""

import argparse
import asyncio
import hashlib
import itertools
import signal
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from cedarpy import PolicySet, is_authorized
from redis.asyncio import BlockingConnectionPool, Redis
from starlette.types import Receive, Scope, Send

from interlock.runtime.main import Server, bind, run_loop, settle_memory
from interlock.samples.serve import parser
from tests.bench.caller import META, VERSION, connections

SUBMITTED, AUTHORIZED, ENDED = "bare:submitted", "bare:authorized", "bare:ended"
POLICIES = (
    "\n".join(
        f'@id("p{n}")\npermit (principal, action == Action::"call", resource == Tool::"t{n}");'
        for n in range(9)
    )
    + '\n@id("echo")\npermit (principal == Agent::"bench", action, resource) when { context.read };'
)
HEADERS = {
    "Accept": "application/json, text/event-stream",
    "Content-Type": "application/json",
    "MCP-Protocol-Version": VERSION,
    "Mcp-Method": "tools/call",
    "Mcp-Name": "echo",
}
BATCH, BLOCK_MS = 128, 1000
Entry = tuple[bytes, dict[bytes, bytes]]


class Bare:
    """Door, policy, invocation, the way back, and the ledger."""

    def __init__(self, redis: Redis, session: aiohttp.ClientSession, upstream: str) -> None:
        self._redis, self._session, self._upstream = redis, session, upstream
        self._waiting: dict[str, asyncio.Future[bytes]] = {}
        self._numbers = itertools.count()
        self._policies = PolicySet.from_str(POLICIES)

    # -- the door -------------------------------------------------------------------------------

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take a call, put it on the bus, wait for its end."""
        read, more = b"", scope["type"] == "http"
        while more:
            message = await receive()
            read += message.get("body", b"")
            more = message.get("more_body", False)
        answer = await self._call(orjson.loads(read)) if read else b"{}"
        about = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(answer)).encode()),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": about})
        await send({"type": "http.response.body", "body": answer})

    async def _call(self, asked: dict[str, Any]) -> bytes:
        task = f"call-{next(self._numbers)}"
        body = orjson.dumps({"task": task, "arguments": asked["params"]["arguments"]})
        end = self._waiting[task] = asyncio.get_running_loop().create_future()
        pipe = self._redis.pipeline()
        pipe.set(f"bare:task:{task}", body, ex=60)
        pipe.xadd(SUBMITTED, {"task": task, "data": body})
        await pipe.execute()
        try:
            result = await end
        finally:
            del self._waiting[task]
        return b'{"jsonrpc":"2.0","id":%d,"result":%s}' % (asked["id"], result)

    async def answer(self) -> None:
        """What was announced wakes its request."""
        async with self._redis.pubsub() as announced:
            await announced.subscribe("bare:announced")
            async for message in announced.listen():
                if message["type"] == "message":
                    task, result = orjson.loads(message["data"])
                    if (end := self._waiting.get(task)) and not end.done():
                        end.set_result(result.encode())

    # -- the services ---------------------------------------------------------------------------

    async def run(self, group: str, streams: Sequence[str], handle: Any) -> None:
        """Read batches, for ever; `handle` adds effects, and they go with the acknowledgement."""
        for stream in streams:
            await self._redis.xgroup_create(stream, group, 0, mkstream=True)
        while True:
            wanted: Any = dict.fromkeys(streams, ">")
            read: Any = await self._redis.xreadgroup(group, "me", wanted, BATCH, BLOCK_MS)
            pipe = self._redis.pipeline()
            for stream, entries in read:
                handle(pipe, entries)
                pipe.xack(stream, group, *(entry for entry, _ in entries))
            if read:
                await pipe.execute()

    def judge(self, pipe: Any, entries: Sequence[Entry]) -> None:
        """Cedar, once a call."""
        for _, fields in entries:
            request = {
                "principal": {"type": "Agent", "id": "bench"},
                "action": {"type": "Action", "id": "call"},
                "resource": {"type": "Tool", "id": "echo"},
                "context": {"read": True},
            }
            if is_authorized(request, self._policies, []).allowed:
                pipe.xadd(AUTHORIZED, {b"task": fields[b"task"], b"data": fields[b"data"]})

    def invoke(self, journal: sqlite3.Connection, calls: asyncio.TaskGroup) -> Any:
        """Journal a batch, then call; each end is journalled and published as it comes."""

        def handle(pipe: Any, entries: Sequence[Entry]) -> None:
            journal.execute("BEGIN IMMEDIATE")
            for _, fields in entries:
                row = (fields[b"task"], fields[b"data"])
                journal.execute("INSERT INTO calls (task, body, state) VALUES (?, ?, 'begun')", row)
            journal.commit()
            for _, fields in entries:
                calls.create_task(self._invoke(journal, fields))

        return handle

    async def _invoke(self, journal: sqlite3.Connection, fields: dict[bytes, bytes]) -> None:
        task, asked = fields[b"task"], orjson.loads(fields[b"data"])
        params = {"name": "echo", "arguments": asked["arguments"], "_meta": META}
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        async with self._session.post(
            self._upstream, data=orjson.dumps(body), headers=HEADERS
        ) as answer:
            result = orjson.dumps(orjson.loads(await answer.read())["result"])
        journal.execute(
            "UPDATE calls SET state = 'ended', result = ? WHERE task = ?", (result, task)
        )
        await self._redis.xadd(ENDED, {"task": task, "data": result})

    def finish(self, pipe: Any, entries: Sequence[Entry]) -> None:
        """The snapshot, and the announcement for whichever door holds the request."""
        for _, fields in entries:
            task, result = fields[b"task"].decode(), fields[b"data"]
            pipe.set(f"bare:task:{task}", result, ex=60)
            pipe.publish("bare:announced", orjson.dumps([task, result.decode()]))

    def keep(self, ledger: sqlite3.Connection) -> Any:
        """A hash chain over everything, a transaction a batch."""
        head = [b""]

        def handle(pipe: Any, entries: Sequence[Entry]) -> None:
            ledger.execute("BEGIN IMMEDIATE")
            for _, fields in entries:
                head[0] = hashlib.sha256(head[0] + fields[b"data"]).digest()
                row = (fields[b"task"], fields[b"data"], head[0])
                ledger.execute("INSERT INTO records (task, body, hash) VALUES (?, ?, ?)", row)
            ledger.commit()

        return handle


def database(file: Path, table: str) -> sqlite3.Connection:
    """As our services set theirs, but for the flush."""
    opened = sqlite3.connect(file, isolation_level=None)
    opened.execute("PRAGMA journal_mode=WAL")
    opened.execute("PRAGMA synchronous=NORMAL")
    opened.execute(f"CREATE TABLE {table}")
    return opened


async def serve(options: argparse.Namespace) -> None:
    """Until SIGTERM."""
    folder = Path(options.data)
    journal = database(folder / "journal.db", "calls (task PRIMARY KEY, body, state, result)")
    ledger = database(folder / "ledger.db", "records (task, body, hash)")
    pool = BlockingConnectionPool.from_url(options.redis, protocol=2)
    async with Redis.from_pool(pool) as redis, connections() as session:
        bare = Bare(redis, session, options.upstream)
        server = Server(bare, 1.0)
        asyncio.get_running_loop().add_signal_handler(
            signal.SIGTERM, setattr, server, "should_exit", True
        )
        async with asyncio.TaskGroup() as group:  # what fails ends all
            work = [
                group.create_task(one)
                for one in (
                    bare.answer(),
                    bare.run("policy", [SUBMITTED], bare.judge),
                    bare.run("invocation", [AUTHORIZED], bare.invoke(journal, group)),
                    bare.run("gateway", [ENDED], bare.finish),
                    bare.run("audit", [SUBMITTED, AUTHORIZED, ENDED], bare.keep(ledger)),
                )
            ]
            await server.serve(sockets=[bind(options.host, options.port)])
            for one in work:
                one.cancel()


def main(given: Sequence[str] | None = None) -> None:
    """On the loop that our doors run on."""
    options = parser("bare", 9107)
    options.add_argument("--redis", required=True, help="URL of a Valkey that is this one's")
    options.add_argument("--upstream", required=True, help="URL of the echo server's `/mcp`")
    options.add_argument("--data", required=True, help="an empty folder")
    settle_memory()
    run_loop(serve(options.parse_args(given)))


if __name__ == "__main__":
    main()
