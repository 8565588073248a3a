"""A process that has imported what services need, and forks those that are asked for.

A fork starts in a few milliseconds, on pages that all share; an interpreter of its own imports for
seconds. Nothing else exists here that a fork could inherit: no thread, loop, connection or key. A
fork does what `python -m services.<name>` does, and dies with this process, as this one dies with
its supervisor.
"""

import ctypes
import gc
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from interlock.bus.opening import KAFKA, SQS
from interlock.contracts.topics import SERVICES
from interlock.embedded.tie import die_with_parent
from interlock.runtime.host import named
from interlock.runtime.main import run
from interlock.runtime.settings import SuiteSettings


@dataclass(frozen=True)
class Warm:
    """The process, as its supervisor knows it."""

    pid: int
    control: socket.socket
    """What is to be forked is said here, and what became of it heard."""


def warm(settings: SuiteSettings) -> Warm | None:
    """Import the services and what they use here, and fork the process that forks from now on.

    To be called before there is anything else in this process. None where that cannot be safe, or
    nothing would tie it to this process: elsewhere than on Linux, and where somebody has a thread.
    """
    if sys.platform != "linux":
        return None
    later = [module for service in SERVICES for module in named(service).later]
    for module in (*later, *_used(settings)):
        with suppress(ImportError):  # the service that wants it says so
            import_module(module)
    if len(os.listdir("/proc/self/task")) > 1:
        return None
    settle()
    ours, theirs = socket.socketpair()
    if pid := _fork():
        theirs.close()
        return Warm(pid, ours)
    ours.close()
    os.setsid()
    with theirs, children_heard() as heard:
        wish = serve(theirs, heard)
    if wish is not None:
        _become(wish["service"], wish["environment"])
    sys.exit()


def settle() -> None:
    """What is there stays: the collector's marks would part the pages that all forks share."""
    gc.collect()
    gc.freeze()


def _used(settings: SuiteSettings) -> Iterator[str]:
    """Modules that services import once they know their settings."""
    yield "uvloop"
    yield "anyio._backends._asyncio"
    if (settings.bus_url or "").startswith(f"{KAFKA}:"):
        yield "interlock.bus.kafka"
    if (settings.bus_url or "").startswith(f"{SQS}:"):
        yield "interlock.bus.sqs"
    if settings.database_url is not None:
        yield "asyncpg"
    if not settings.data.exists():  # there is something to migrate
        yield from ("alembic.config", "alembic.script", "alembic.runtime.environment")


@contextmanager
def children_heard() -> Iterator[int]:
    """A descriptor that can be read when a child has ended. Nobody but the supervisor stops us:
    a signal to all processes of the suite is for those that have something to finish."""
    heard, told = os.pipe()
    for end in (heard, told):
        os.set_blocking(end, False)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(told)
    try:
        yield heard
    finally:
        signal.set_wakeup_fd(-1)
        os.close(heard)
        os.close(told)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)  # what came meanwhile works now


def serve(supervisor: socket.socket, heard: int) -> dict[str, Any] | None:
    """In a fork: the wish that it is to fulfil. Here: None, once the supervisor has gone.

    It writes a line of JSON for each wish, `{"turn": n, …}` for a fork and `{"pid": p, "signal":
    s}` for a signal to one; it reads `{"turn": n, "pid": p}`, and `{"pid": p, "code": c}` of each
    that has ended. `heard` is what `children_heard` yields.
    """
    living: set[int] = set()
    unread = b""
    while True:
        ready, _, _ = select.select([supervisor.fileno(), heard], [], [])
        if heard in ready:
            os.read(heard, 4096)
            for pid, code in _ended():
                living.discard(pid)
                _say(supervisor, {"pid": pid, "code": code})
        if supervisor.fileno() in ready:
            if not (chunk := supervisor.recv(1 << 16)):
                return None
            *lines, unread = (unread + chunk).split(b"\n")
            for wish in map(json.loads, lines):
                if not _fulfil(wish, supervisor, living):
                    return dict(wish)


def _fulfil(wish: Mapping[str, Any], supervisor: socket.socket, living: set[int]) -> bool:
    """Signal a child, or make one; false in the one that was made."""
    if "signal" in wish:
        if wish["pid"] in living:  # and not waited for: its number is nobody else's
            os.kill(wish["pid"], wish["signal"])
    elif pid := _fork():
        living.add(pid)
        _say(supervisor, {"turn": wish["turn"], "pid": pid})
    else:
        return False
    return True


def _fork() -> int:
    """As `os.fork`; the fork dies with this process."""
    here = os.getpid()
    pid = os.fork()
    if pid == 0:
        die_with_parent(signal.SIGKILL)
        if os.getppid() != here:
            sys.exit("the process that forked this one has ended")
    return pid


def _ended() -> Iterator[tuple[int, int]]:
    """Children that have ended, with their codes as `subprocess` tells them."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        yield pid, os.waitstatus_to_exitcode(status)


def _say(supervisor: socket.socket, what: Mapping[str, int]) -> None:
    supervisor.sendall(json.dumps(what).encode() + b"\n")


def _become(service: str, environment: Mapping[str, str]) -> None:
    os.setsid()
    os.umask(0o077)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [f"services.{service}"]
    show_as([sys.executable, "-m", *sys.argv])
    run(named(service))


def show_as(words: Sequence[str]) -> None:
    """Have `ps` show these words as the command line of this process, as far as there is room."""
    first, end = (int(field) for field in _stat()[47:49])
    room = end - first
    text = b"\0".join(os.fsencode(word) for word in words)[: room - 1]
    ctypes.memmove(first, text.ljust(room, b"\0"), room)


def _stat() -> Sequence[str]:
    """The fields of proc(5)'s `stat`; the second, which may hold spaces, is left empty."""
    before, _, after = Path("/proc/self/stat").read_text("utf-8").rpartition(")")
    return [before.partition(" ")[0], "", *after.split()]
