"""Where rows are played: a suite on a transport and a database, up for one row after another."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.on_kafka import kafka
from tests.chaos.on_sqs import sqs
from tests.chaos.on_valkey import Valkey
from tests.chaos.transports import Transport
from tests.components.elasticmq import CREDENTIALS
from tests.components.ports import lasting_port
from tests.components.postgres import Postgres, postgres
from tests.components.running import Program, program
from tests.components.suite import Suite, answers, until
from tests.components.world import World, world


@dataclass(frozen=True)
class Stand:
    """A running suite with something to govern, and what it rests on."""

    name: str
    transport: Transport
    world: World
    folder: Path
    """For what its rows write."""
    hands: Executor
    """A thread as long-lived as the stand: a server dies with the thread that started it."""
    database: Postgres | None = None

    @property
    def suite(self) -> Suite:
        return self.world.suite


Opening = Callable[[Path, Executor], AbstractContextManager[Stand]]


@contextmanager
def embedded(folder: Path, hands: Executor) -> Iterator[Stand]:
    """As on a laptop: one process, Valkey, SQLite."""
    with world(folder) as here:
        yield Stand("embedded", Valkey(), here, folder, hands)


@contextmanager
def valkey(folder: Path, hands: Executor) -> Iterator[Stand]:
    """A process per service, Valkey, SQLite."""
    with world(folder, "--separate") as here:
        yield Stand("valkey", Valkey(), here, folder, hands)


@contextmanager
def on_postgres(folder: Path, hands: Executor) -> Iterator[Stand]:
    """A process per service, Valkey, PostgreSQL."""
    with postgres() as server:
        env = {"INTERLOCK_DATABASE_URL": server.url}
        with world(folder, "--separate", env=env) as here:
            yield Stand("postgres", Valkey(), here, folder, hands, server)


@contextmanager
def on_kafka(folder: Path, hands: Executor) -> Iterator[Stand]:
    """A process per service, Kafka beside the suite's own Valkey, SQLite."""
    with kafka() as transport:
        env = {"INTERLOCK_BUS_URL": transport.url}
        with world(folder, "--separate", env=env) as here:
            yield Stand("kafka", transport, here, folder, hands)


@contextmanager
def on_sqs(folder: Path, hands: Executor) -> Iterator[Stand]:
    """A process per service, ElasticMQ beside the suite's own Valkey, SQLite."""
    os.environ.update(CREDENTIALS)  # for agents on the bus, who are in this process
    with sqs() as transport:
        env = {"INTERLOCK_BUS_URL": transport.url}
        with world(folder, "--separate", env=env) as here:
            yield Stand("sqs", transport, here, folder, hands)


STANDS: Mapping[str, Opening] = {
    "embedded": embedded,
    "valkey": valkey,
    "postgres": on_postgres,
    "kafka": on_kafka,
    "sqs": on_sqs,
}


class Stands:
    """One stand at a time: the one before is taken down."""

    def __init__(self, make_folder: Callable[[str], Path]) -> None:
        self._make_folder = make_folder
        self._hands = ThreadPoolExecutor(1)
        self._stack = ExitStack()
        self._stand: Stand | None = None

    def at(self, name: str) -> Stand:
        """The stand of that name, up, with nothing left of the row before."""
        return self._hands.submit(self._at, name).result()

    def clear(self) -> None:
        """Take down what stands; a row that failed may have left anything."""
        self._hands.submit(self._clear).result()

    def _at(self, name: str) -> Stand:
        if self._stand is None or self._stand.name != name:
            self._clear()
            opening = STANDS[name](self._make_folder(name), self._hands)
            self._stand = self._stack.enter_context(opening)
        self._stand.world.crm.reset()
        return self._stand

    def _clear(self) -> None:
        self._stand, stack, self._stack = None, self._stack, ExitStack()
        stack.close()


@dataclass(frozen=True)
class Rival:
    """One more process of a service, beside the suite's own."""

    process: Program

    def kill(self) -> None:
        """SIGKILL, and gone."""
        self.process.kill()
        self.process.wait()


@contextmanager
def rival(stand: Stand, service: str, env: Mapping[str, str] | None = None) -> Iterator[Rival]:
    """It is ready, and told to stop at the end. `env` is what it is told otherwise."""
    port, suite = lasting_port(), stand.suite
    told = {
        **suite.env,
        "INTERLOCK_BUS_URL": suite.bus_url,
        "INTERLOCK_REDIS_URL": suite.redis_url,
        "INTERLOCK_DATA": str(suite.data),
        "INTERLOCK_PORT": str(port),
        "INTERLOCK_PUBLIC_URL": suite.url,
        "INTERLOCK_LOG_LEVEL": "warning",
        **(env or {}),
    }
    process = program(f"services.{service}", env=told, log=suite.log)
    ready = f"http://127.0.0.1:{port}/health/ready"
    try:
        until(lambda: answers(ready) == 200, f"another `{service}` is ready", process, suite.log)
        yield Rival(process)
    finally:
        process.terminate()
        try:
            process.wait(timeout=40)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


def standstill(pid: int, seconds: float) -> None:
    """A machine that stands still: everybody else believes the process dead."""
    os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(seconds)
    finally:
        os.kill(pid, signal.SIGCONT)
