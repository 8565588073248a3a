"""A whole suite and its upstreams as processes of their own: started, killed, started again.

Processes are ended by their id, and only those that were started here or that those started.
"""

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import psutil

from interlock.bus import Opening
from interlock.contracts.topics import SERVICES
from tests.components.ports import lasting_port
from tests.components.running import Program, program

STARTS_WITHIN = 150.0
STOPS_WITHIN = 40.0
GLANCE = 0.05
"""Seconds between two looks at another process."""
KEY = "operator.key"


@dataclass
class Suite:
    """`interlock up` on one data folder and one port, whichever process is it at the moment."""

    data: Path
    arguments: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=lasting_port)
    module: str = "interlock.cli"
    """What stands for the `interlock` command."""
    cold: bool = False
    """Each start is an interpreter's, which imports for itself."""
    started_in: float = 0.0
    """Seconds from the command to readiness."""
    _process: Program | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        """All that its processes said, over all its starts."""
        return self.data.parent / f"{self.data.name}.log"

    @property
    def process(self) -> Program:
        assert self._process is not None, "the suite was not started"
        return self._process

    @property
    def operator_key(self) -> str:
        return (self.data / KEY).read_text("utf-8").strip()

    @property
    def bus_url(self) -> str:
        """Where its broker listens; the same after a restart."""
        return self.env.get("INTERLOCK_BUS_URL") or self.redis_url

    @property
    def prefix(self) -> str:
        """Before its names on the bus and in Redis."""
        return self.env.get("INTERLOCK_PREFIX") or Opening.prefix

    @property
    def redis_url(self) -> str:
        """Where its embedded Valkey listens; the same after a restart."""
        return (self.data / "valkey" / "valkey.url").read_text("utf-8").strip()

    # -- its life -------------------------------------------------------------------------------

    def start(self) -> "Suite":
        """Return once every service is ready."""
        began = time.perf_counter()
        words = ("--data", str(self.data), "up", "--port", str(self.port), *self.arguments)
        env = {"INTERLOCK_LOG_LEVEL": "warning", **self.env}
        self._process = program(self.module, *words, env=env, log=self.log, cold=self.cold)
        until(self.ready, "the suite is ready", self.process, self.log)
        self.started_in = time.perf_counter() - began
        return self

    def kill(self) -> None:
        """SIGKILL: its broker and its services' processes die with it (prctl(2), Linux)."""
        everyone = self._everyone()
        self.process.kill()
        self.process.wait()
        _, left = psutil.wait_procs(everyone[1:], timeout=10)
        for one in left:  # elsewhere nothing ties them to it
            one.kill()

    def stop(self) -> None:
        """Tell it to stop, and wait."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(timeout=STOPS_WITHIN)
        except subprocess.TimeoutExpired:
            self.kill()
            raise RuntimeError(f"the suite did not stop within {STOPS_WITHIN:g} s") from None

    def ready(self) -> bool:
        """Whether each service says so."""
        return all(answers(f"{self.url}/{name}/health/ready") == 200 for name in SERVICES)

    def pid(self, name: str) -> int | None:
        """The process of one service (of a separate suite), or `valkey`; None while it is away."""
        return next(iter(self.pids(name)), None)

    def pids(self, name: str) -> list[int]:
        """All processes of it."""
        return [one.pid for one in self._everyone()[1:] if named(one) == name]

    # -- asking it ------------------------------------------------------------------------------

    def ask(
        self, method: str, path: str, body: Any = None, token: str | None = None, *, wait: int = 20
    ) -> Any:
        """The JSON answer, for which the door may wait; an error's body is in the exception."""
        request = Request(
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {token or self.operator_key}",
                "Content-Type": "application/json",
                "Prefer": f"wait={wait}",
            },
        )
        try:
            with urlopen(request, timeout=40) as answer:
                text = answer.read()
        except HTTPError as error:
            raise RuntimeError(f"{method} {path}: {error.code} {error.read().decode()}") from None
        return json.loads(text) if text else None

    # -- what it costs --------------------------------------------------------------------------

    def cpu(self) -> dict[str, float]:
        """CPU seconds so far, by process: the services of a separate suite each have their own."""
        found: dict[str, float] = {}
        for process in self._everyone():
            times = process.cpu_times()
            found[named(process)] = found.get(named(process), 0.0) + times.user + times.system
        return found

    def resident(self) -> dict[str, float]:
        """Resident memory, MB, by process."""
        return {named(one): one.memory_info().rss / 1e6 for one in self._everyone()}

    def _everyone(self) -> list[psutil.Process]:
        suite = psutil.Process(self.process.pid)
        return [suite, *suite.children(recursive=True)]


def named(process: psutil.Process) -> str:
    """`valkey`, a service's name, or `suite`; `-` for one that has just gone."""
    try:
        words = process.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return "-"
    if any("valkey-server" in word or "redis-server" in word for word in words[:1]):
        return "valkey"
    for word in words:
        if word.startswith("services."):
            return word.removeprefix("services.")
    return "suite"


@contextmanager
def suite(data: Path, *arguments: str, env: Mapping[str, str] | None = None) -> Iterator[Suite]:
    """`interlock up` on a free port; told to stop at the end."""
    running = Suite(data, arguments, env or {})
    try:
        yield running.start()
    finally:
        running.stop()


@contextmanager
def upstream(module: str, *arguments: str) -> Iterator[str]:
    """A sample server of ours as a process; its URL."""
    with started(module, *arguments) as (url, _):
        yield url


@contextmanager
def started(module: str, *arguments: str) -> Iterator[tuple[str, int]]:
    """A program that serves `/mcp` on the port that it is given; its URL and its process."""
    port = lasting_port()
    process = program(module, "--port", str(port), *arguments)
    url = f"http://127.0.0.1:{port}"
    try:
        until(lambda: answers(f"{url}/mcp") > 0, f"`{module}` answers", process)
        yield url, process.pid
    finally:
        process.terminate()
        process.wait()


def answers(url: str) -> int:
    """The status of a GET; 0 where nobody answers."""
    try:
        with urlopen(url, timeout=2) as answer:
            return int(answer.status)
    except HTTPError as error:
        return error.code
    except (URLError, OSError):
        return 0


def until(
    true: Callable[[], bool],
    what: str,
    process: Program | None = None,
    log: Path | None = None,
    within: float = STARTS_WITHIN,
) -> None:
    """Wait until `true`; RuntimeError with `what` and the log's end where that takes too long."""
    end = time.monotonic() + within
    while not true():
        gone = process is not None and process.poll() is not None
        if gone or time.monotonic() > end:
            told = log.read_text("utf-8", "replace")[-3000:] if log else ""
            raise RuntimeError(f"waited in vain until {what}: {told}")
        time.sleep(GLANCE)
