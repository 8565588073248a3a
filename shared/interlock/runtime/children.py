"""The processes of services, as their supervisor starts them: forked, or each an interpreter."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from interlock.embedded import tie
from interlock.errors import Unavailable
from interlock.runtime.warm import Warm

GONE = -signal.SIGKILL


class Process(Protocol):
    """As `asyncio.subprocess.Process` has it."""

    @property
    def pid(self) -> int: ...
    async def wait(self) -> int: ...
    def terminate(self) -> None:
        """ProcessLookupError where it has ended, as for `kill`."""

    def kill(self) -> None: ...


class Processes(Protocol):
    """Starts them; each dies with the process that we are."""

    async def start(self, service: str, environment: Mapping[str, str]) -> Process:
        """Unavailable where it could not even begin."""

    async def close(self) -> None:
        """Whatever was started has ended, or ends now."""


class Interpreters:
    """An interpreter per process."""

    async def start(self, service: str, environment: Mapping[str, str]) -> Process:
        tied = [sys.executable, "-I", "-S", tie.__file__, str(os.getpid())]
        words = [sys.executable, "-m", f"services.{service}"]
        return await asyncio.create_subprocess_exec(
            *tied, *words, env=dict(environment), start_new_session=True
        )

    async def close(self) -> None:
        pass


@dataclass
class Fork:
    """One process that another has forked for us."""

    pid: int
    forks: "Forks"
    ended: "asyncio.Future[int]"

    async def wait(self) -> int:
        return await asyncio.shield(self.ended)

    def terminate(self) -> None:
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self.ended.done():
            raise ProcessLookupError(f"process `{self.pid}` has ended")
        self.forks.say({"pid": self.pid, "signal": number})


@dataclass
class Forks:
    """Forks of a process that has imported what services need (`interlock.runtime.warm`).

    Where that one ends, all end; whatever is started after that is an interpreter of its own.
    """

    warm: Warm
    otherwise: Processes = field(default_factory=Interpreters)
    _writer: asyncio.StreamWriter | None = None
    _reading: "asyncio.Task[None] | None" = None
    _turn: int = 0
    _asked: "dict[int, asyncio.Future[Fork]]" = field(default_factory=dict)
    _living: dict[int, Fork] = field(default_factory=dict)
    _opening: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def start(self, service: str, environment: Mapping[str, str]) -> Process:
        async with self._opening:
            if self._reading is None:
                reader, self._writer = await asyncio.open_connection(sock=self.warm.control)
                self._reading = asyncio.create_task(self._read(reader))
        if self._reading.done():
            return await self.otherwise.start(service, environment)
        self._turn += 1
        asked: asyncio.Future[Fork] = asyncio.get_running_loop().create_future()
        self._asked[self._turn] = asked
        self.say({"turn": self._turn, "service": service, "environment": dict(environment)})
        return await asked

    def say(self, wish: Mapping[str, object]) -> None:
        """To the process that forks; one that has gone hears nothing, and its forks have ended."""
        assert self._writer is not None, "nothing was started"
        self._writer.write(json.dumps(wish).encode() + b"\n")

    async def close(self) -> None:
        if self._writer is None:
            self.warm.control.close()
        else:
            self._writer.close()
        await asyncio.to_thread(os.waitpid, self.warm.pid, 0)
        if self._reading is not None:
            await self._reading

    async def _read(self, reader: asyncio.StreamReader) -> None:
        with suppress(ConnectionError):
            async for line in reader:
                self._hear(json.loads(line))
        self._lost()

    def _hear(self, said: Mapping[str, int]) -> None:
        pid = said["pid"]
        if "code" in said:
            self._living.pop(pid).ended.set_result(said["code"])
            return
        born = Fork(pid, self, asyncio.get_running_loop().create_future())
        self._living[pid] = born
        asked = self._asked.pop(said["turn"])
        if asked.cancelled():
            born.kill()
        else:
            asked.set_result(born)

    def _lost(self) -> None:
        """It has ended, and all that it forked with it."""
        for fork in self._living.values():
            fork.ended.set_result(GONE)
        self._living.clear()
        asked, self._asked = self._asked, {}
        for turn in asked.values():
            if not turn.done():
                turn.set_exception(Unavailable("the process that forks services has ended"))
