"""Our own programs as processes: `python -m`, or forked from a process that has imported them.

What a test is about is seldom the seconds for which an interpreter imports. So in a run of tests
one process imports everything once, and forks what is asked for (`interlock.runtime.warm`). Each
fork is a process of its own, killed and told to stop as any other. A test of how a program starts
has it `cold`.
"""

import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from interlock.contracts.topics import SERVICES
from interlock.runtime import warm

IMPORTED = (
    *(f"services.{name}.__main__" for name in SERVICES),
    *("services.gateway.http.sdk", "services.invocation.clients.calling"),
    *("interlock.bus.kafka", "interlock.bus.sqs", "asyncpg", "uvloop", "anyio._backends._asyncio"),
    *("alembic.config", "alembic.script", "alembic.runtime.environment"),
    *("interlock.cli.main", "interlock.runtime.supervisor", "interlock.samples.crm.app"),
    *("interlock.samples.echo", "tests.components.asker"),
)
ROOM = "-" * 400
"""The last argument of the process that forks; a fork's own command line is written over it."""
SLICE = 0.05
ENDS_WITHIN = 110.0
"""Seconds that a program may take which ends by itself."""


class Program(Protocol):
    """A process as `subprocess.Popen` has it."""

    @property
    def pid(self) -> int: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, sig: int) -> None: ...
    def terminate(self) -> None: ...
    def kill(self) -> None: ...


@dataclass(frozen=True)
class Fork:
    """`Program`, forked."""

    pid: int
    warm: "Warm"

    def poll(self) -> int | None:
        return self.warm.code(self.pid, 0)

    def wait(self, timeout: float | None = None) -> int:
        end = None if timeout is None else time.monotonic() + timeout
        while (code := self.warm.code(self.pid, SLICE)) is None:
            if end is not None and time.monotonic() > end:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
        return code

    def send_signal(self, sig: int) -> None:
        self.warm.say({"pid": self.pid, "signal": int(sig)})

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


@dataclass
class Warm:
    """The process that forks, started when it is first needed; any thread may ask it."""

    born: Mapping[str, str]
    """What of its environment only the start of a process can heed, as `LD_PRELOAD`."""
    _socket: socket.socket | None = None
    _process: "subprocess.Popen[bytes] | None" = None
    _turn: int = 0
    _unread: bytes = b""
    _pids: dict[int, int] = field(default_factory=dict)
    _codes: dict[int, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self, wish: Mapping[str, object]) -> Fork:
        with self._lock:
            if self._socket is None:
                self._socket = self._open()
            self._turn += 1
            turn = self._turn
            self._write({"turn": turn, **wish})
            while turn not in self._pids:
                self._read(None)
            pid = self._pids.pop(turn)
            self._codes.pop(pid, None)  # of an earlier one with its number
            return Fork(pid, self)

    def code(self, pid: int, within: float) -> int | None:
        """How a fork ended; None if it has not, after so many seconds at most."""
        with self._lock:
            if pid not in self._codes:
                self._read(within)
            return self._codes.get(pid)

    def say(self, wish: Mapping[str, object]) -> None:
        with self._lock:
            self._write(wish)

    def close(self) -> None:
        """All forks end."""
        if self._socket is not None and self._process is not None:
            self._socket.close()
            self._process.wait()

    def _open(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", __name__, str(theirs.fileno()), ROOM]
            environment = {**os.environ, **self.born}
            self._process = subprocess.Popen(command, env=environment, pass_fds=(theirs.fileno(),))
        return ours

    def _write(self, wish: Mapping[str, object]) -> None:
        assert self._socket is not None, "nothing was started"
        self._socket.sendall(json.dumps(wish).encode() + b"\n")

    def _read(self, within: float | None) -> None:
        assert self._socket is not None, "nothing was started"
        while select.select([self._socket], [], [], within)[0]:
            if not (chunk := self._socket.recv(1 << 16)):
                raise RuntimeError("the process that forks our programs has ended")
            *lines, self._unread = (self._unread + chunk).split(b"\n")
            for said in map(json.loads, lines):
                if "code" in said:
                    self._codes[said["pid"]] = said["code"]
                else:
                    self._pids[said["turn"]] = said["pid"]
            within = 0


BORN = ("LD_", "FAKETIME")
"""How the names of such variables begin."""


class Programs:
    """How this process starts them."""

    warm: dict[tuple[tuple[str, str], ...], Warm] | None = None
    """By what they were born with; None: none is forked."""

    @classmethod
    def forker(cls, environment: Mapping[str, str]) -> Warm | None:
        """Whose forks may have that environment."""
        if cls.warm is None:
            return None
        born = {name: environment[name] for name in sorted(environment) if name.startswith(BORN)}
        return cls.warm.setdefault(tuple(born.items()), Warm(born))


@contextmanager
def forking() -> Iterator[None]:
    """From now on programs are forks, where they can be."""
    if sys.platform != "linux":
        yield
        return
    Programs.warm = {}
    try:
        yield
    finally:
        for one in Programs.warm.values():
            one.close()
        Programs.warm = None


def program(
    module: str,
    *words: str,
    env: Mapping[str, str] | None = None,
    log: Path | None = None,
    errors: Path | None = None,
    cold: bool = False,
) -> Program:
    """`python -m module words`, in our environment with `env`; what it says is added to `log`, and
    to `errors` if that is elsewhere."""
    environment, file = {**os.environ, **(env or {})}, str(log or os.devnull)
    says = (file, str(errors or file))
    if not cold and (forker := Programs.forker(environment)) is not None:
        wish = {"module": module, "words": words, "environment": environment, "says": says}
        return forker.start(wish)
    with open(says[0], "ab") as out, open(says[1], "ab") as err:
        command = [sys.executable, "-m", module, *words]
        return subprocess.Popen(command, env=environment, stdout=out, stderr=err)


@dataclass(frozen=True)
class Ran:
    """How a program ended."""

    code: int
    out: str
    err: str


def ran(module: str, *words: str, cold: bool = False) -> Ran:
    """`program`, to its end."""
    with TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        running = program(module, *words, log=out, errors=err, cold=cold)
        try:
            code = running.wait(timeout=ENDS_WITHIN)
        except subprocess.TimeoutExpired:
            running.kill()
            raise
        return Ran(code, out.read_text("utf-8"), err.read_text("utf-8"))


def _become(wish: Mapping[str, Any]) -> None:
    for stream, file in enumerate(wish["says"], start=1):
        opened = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        os.dup2(opened, stream)
        os.close(opened)
    os.environ.clear()
    os.environ.update(wish["environment"])
    module, words = wish["module"], wish["words"]
    sys.modules.pop(f"{module}.__main__", None)
    sys.argv = [module, *words]
    warm.show_as([sys.executable, "-m", module, *words])
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def main(control: int) -> None:
    """Fork what is asked for over the socket, until it is closed."""
    for module in IMPORTED:
        import_module(module)
    warm.settle()
    with socket.socket(fileno=control) as tests, warm.children_heard() as heard:
        wish = warm.serve(tests, heard)
    if wish is not None:
        _become(wish)


if __name__ == "__main__":
    main(int(sys.argv[1]))
