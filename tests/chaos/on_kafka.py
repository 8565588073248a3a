"""Kafka: a broker of one's own, which one listener leads to past a proxy."""

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from interlock.bus.kafka.names import Names
from interlock.contracts.topics import topics_of
from interlock.runtime.settings import SuiteSettings
from tests.chaos.meddling import AT_ONCE, CONCERNS_ALL, Meddler
from tests.chaos.scale import scaled
from tests.chaos.transports import Transport
from tests.components.kafka import Broker, jars
from tests.components.ports import lasting_port
from tests.components.proxy import Proxy, Trap, proxied
from tests.components.suite import Suite

SESSION = scaled(2, 3)
"""Seconds."""
ROOM = f"{scaled(200, 3000)}m"
PRODUCE, OFFSET_COMMIT = 0, 8
"""Kinds of requests, in the second field of each (protocol guide, "Request Header")."""


@dataclass
class Kafka(Transport):
    """Killed and started by the test."""

    broker: Broker
    listener: int
    """The port behind the proxy's, whose address is told to who comes by it."""
    proxy: int
    bounded: bool
    """Whether its folder can be filled."""
    patience: float = SESSION

    @property
    def url(self) -> str:
        return self._url(self.broker.port)

    def way(self, suite: Suite) -> AbstractContextManager[Proxy]:
        return proxied(lambda: ("127.0.0.1", self.listener), self.proxy)

    def behind(self, suite: Suite, proxy: Proxy) -> Mapping[str, str]:
        return {"INTERLOCK_BUS_URL": self._url(proxy.port)}

    def _url(self, port: int) -> str:
        return f"kafka://127.0.0.1:{port}?replication=1&partitions=2&session={SESSION}"

    def meddler(self, suite: Suite, group: str) -> Meddler:
        return KafkaMeddler(f"127.0.0.1:{self.broker.port}", group)

    def trap(self) -> Trap:
        """The first offsets that are committed once something was published."""
        published = False

        def about_to_commit(sent: bytes) -> bool:
            nonlocal published
            kinds = set(requests(sent))
            published = published or PRODUCE in kinds
            return published and OFFSET_COMMIT in kinds

        return Trap(about_to_commit, through=False)

    def kill(self, suite: Suite) -> None:
        self.broker.kill()
        self.broker.start()

    def fill(self, suite: Suite) -> None:
        if not self.bounded:
            pytest.skip("only root can mount a small disk for the broker to fill")
        with suppress(OSError), self._filler.open("wb", buffering=0) as filler:
            while True:
                filler.write(bytes(1 << 16))

    def drain(self, suite: Suite) -> None:
        """A broker whose only disk failed has ended by itself, or will."""
        self._filler.unlink()
        self.kill(suite)

    @property
    def _filler(self) -> Path:
        return self.broker.folder / "filler"


def requests(sent: bytes) -> Iterator[int]:
    """The kinds of the requests that begin in these bytes, which begin with one."""
    at = 0
    while at + 6 <= len(sent):
        yield int.from_bytes(sent[at + 4 : at + 6], "big")
        at += 4 + int.from_bytes(sent[at : at + 4], "big")


@contextmanager
def kafka() -> Iterator[Kafka]:
    """A running broker, on a small disk of its own where we may mount one (as root)."""
    listener, proxy = lasting_port(), lasting_port()
    settings = {
        "listeners": "PLAINTEXT://127.0.0.1:PORT,CONTROLLER://127.0.0.1:CONTROLLER_PORT,"
        f"BEHIND://127.0.0.1:{listener}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:PORT,BEHIND://127.0.0.1:{proxy}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,"
        "BEHIND:PLAINTEXT",
    }
    with small_disk() as (home, bounded):
        broker = Broker(home, jars(), settings, lasting_port(), lasting_port())
        try:
            broker.start()
            yield Kafka(broker, listener, proxy, bounded)
        finally:
            broker.stop()


@contextmanager
def small_disk() -> Iterator[tuple[Path, bool]]:
    """A folder, and whether it is a small disk in memory.

    None of pytest's own: it could not remove one whose disk a killed run left mounted.
    """
    folder = Path(tempfile.mkdtemp(prefix="interlock-disk-"))
    command = ["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", str(folder)]
    bounded = (
        os.getuid() == 0
        and not subprocess.run(command, check=False, capture_output=True).returncode
    )
    try:
        yield folder, bounded
    finally:
        if bounded:
            subprocess.run(["umount", str(folder)], check=True)
        shutil.rmtree(folder, ignore_errors=True)


@dataclass
class KafkaMeddler:
    """Of a group on Kafka: while it is a member, some partitions are its own."""

    server: str
    group: str
    _names: Names = field(
        default_factory=lambda: Names.of(SuiteSettings.model_fields["prefix"].default)
    )
    _consumer: Any = None
    _producer: Any = None

    async def join(self) -> None:
        self._topics = self._names.read_by(self.group)
        self._consumer = AIOKafkaConsumer(
            *self._topics,
            bootstrap_servers=self.server,
            group_id=self._names.group(self.group),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=SESSION * 1000,
            heartbeat_interval_ms=200,
            rebalance_timeout_ms=30_000,
            request_timeout_ms=40_000,
        )
        await self._consumer.start()

    async def take(self) -> Sequence[Any]:
        found = await self._consumer.getmany(timeout_ms=200, max_records=AT_ONCE)
        return [record for some in found.values() for record in some]

    async def put(self, taken: Sequence[Any]) -> None:
        """To the others' partitions: in our own we would take it again, and again."""
        if self._producer is None:
            self._producer = AIOKafkaProducer(bootstrap_servers=self.server, acks="all")
            await self._producer.start()
        sent = []
        for one in taken:
            retry = self._names.retry(self._topics[one.topic], self.group)
            found = await self._producer.partitions_for(retry)
            others = sorted(found - self._partitions(retry)) or sorted(found)
            told = {"partition": others[one.offset % len(others)], "headers": [*one.headers]}
            sent.append(await self._producer.send(retry, one.value, one.key, **told))
        await asyncio.gather(*sent)

    def _partitions(self, topic: str) -> set[int]:
        """Which are our own now."""
        held = () if self._consumer is None else self._consumer.assignment()
        return {one.partition for one in held if one.topic == topic}

    async def junk(self, bodies: Sequence[bytes]) -> None:
        headers = [(name, value.encode()) for name, value in CONCERNS_ALL.items()]
        async with AIOKafkaProducer(bootstrap_servers=self.server, acks="all") as producer:
            for topic in topics_of(self.group):
                for body in bodies:
                    retry = self._names.retry(topic, self.group)
                    await producer.send_and_wait(retry, body, b"", headers=headers)

    async def settle(self, taken: Sequence[Any]) -> None:
        """Partitions may have gone to somebody else meanwhile, who then delivers these again."""
        offsets = {TopicPartition(one.topic, one.partition): one.offset + 1 for one in taken}
        held = {at: offset for at, offset in offsets.items() if at in self._consumer.assignment()}
        with suppress(Exception):
            await self._consumer.commit(held)

    async def rest(self) -> None:
        """No member any more: as one it would keep its partitions from the others."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await asyncio.wait_for(consumer.stop(), 30)

    async def leave(self) -> None:
        await self.rest()
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.stop()
