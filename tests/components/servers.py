"""Servers that a whole run of tests shares, however many workers it has.

The run's first process starts each when somebody first needs it, and ends it with the run; workers
of pytest-xdist ask that process where it is, over a socket. So a worker that dies takes no server
with it, and none outlives the run.
"""

import json
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingUnixStreamServer
from threading import Lock, Thread
from typing import Any, Protocol

from tests.components.elasticmq import elasticmq
from tests.components.kafka import PATIENT, kafka
from tests.components.postgres import postgres
from tests.components.required import Missing
from tests.components.s3 import moto
from tests.components.scratch import quick_folder

Starting = Callable[[], AbstractContextManager[str]]
PATIENCE = 600.0
"""Seconds for which a server may be fetched and started."""
CROWD = ("max_connections=400",)
"""Of PostgreSQL: several workers have pools there at once."""


class Servers(Protocol):
    """Where the servers of this run are."""

    def url(self, name: str) -> str:
        """Of a server, which is started if nobody needed it before. `Missing` where that fails."""


@contextmanager
def _kafka() -> Iterator[str]:
    with (
        tempfile.TemporaryDirectory(prefix="interlock-kafka-") as disk,
        quick_folder(Path(disk)) as folder,
        kafka(folder, PATIENT) as broker,
    ):
        yield broker.url


@contextmanager
def _postgres() -> Iterator[str]:
    with postgres(*CROWD) as server:
        yield server.url


STARTED_BY: Mapping[str, Starting] = {
    "kafka": _kafka,
    "postgres": _postgres,
    "s3": moto,
    "sqs": elasticmq,
}


class Own:
    """Those of this process, which may tell others where they are."""

    def __init__(self, started_by: Mapping[str, Starting] = STARTED_BY) -> None:
        self._started_by = started_by
        self._stack, self._door = ExitStack(), ExitStack()
        self._lock = Lock()
        self._urls: dict[str, Future[str]] = {}
        # As long-lived as the servers: each dies with the thread that started it.
        self._threads = ThreadPoolExecutor(len(started_by))

    def url(self, name: str) -> str:
        with self._lock:
            if name not in self._urls:
                self._urls[name] = self._threads.submit(self._start, name)
        return self._urls[name].result()

    @cached_property
    def path(self) -> str:
        """The socket at which others ask."""
        folder = self._door.enter_context(tempfile.TemporaryDirectory(prefix="interlock-run-"))
        path = str(Path(folder) / "servers")
        door = self._door.enter_context(ThreadingUnixStreamServer(path, partial(Answer, self)))
        door.daemon_threads = True
        self._door.callback(door.shutdown)
        Thread(target=door.serve_forever, daemon=True).start()
        return path

    def close(self) -> None:
        """All of them end."""
        self._door.close()
        wait(self._urls.values())
        self._stack.close()
        self._threads.shutdown()

    def _start(self, name: str) -> str:
        return self._stack.enter_context(self._started_by[name]())


class Answer(StreamRequestHandler):
    """One question, and where the server is."""

    def __init__(self, own: Own, *given: Any) -> None:
        self._own = own
        super().__init__(*given)

    def handle(self) -> None:
        name = self.rfile.readline().decode().strip()
        try:
            told = {"url": self._own.url(name)}
        except Missing as missing:
            told = {"missing": str(missing)}
        self.wfile.write(json.dumps(told).encode())


@dataclass(frozen=True)
class Asked:
    """Those of another process, which listens at a socket."""

    path: str

    def url(self, name: str) -> str:
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(PATIENCE)
            line.connect(self.path)
            line.sendall(name.encode() + b"\n")
            with line.makefile("rb") as answer:
                said = answer.read()
        if not said:
            raise RuntimeError(f"`{name}` could not be started: the run has printed why")
        told: dict[str, str] = json.loads(said)
        if "missing" in told:
            raise Missing(told["missing"])
        return told["url"]
