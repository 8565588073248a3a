"""An upstream that is a process of ours: MCP over its standard input and output."""

import asyncio
import os
import shutil
import signal
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import structlog
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage
from mcp.types import jsonrpc_message_adapter

from interlock.embedded import tie
from interlock.errors import Refused
from services.invocation.clients.port import StdioCommand
from services.invocation.clients.text import LARGEST

log = structlog.get_logger()

Streams = tuple[Any, Any]
"""What the SDK's session reads from and writes to."""
INHERITED = ("HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "TMPDIR", "TZ", "USER")
"""All that a command gets of our environment, which holds secrets; its own is set beside."""
GRACE = 2.0
"""Seconds to end after its input was closed, and again after SIGTERM."""
_TAIL = 20
"""Lines of its standard error that are kept."""

To = MemoryObjectSendStream[SessionMessage | Exception]
From = MemoryObjectReceiveStream[SessionMessage]


class ProcessLine:
    """The streams of one process. `over` is called once it has ended, or talks no more."""

    def __init__(self, command: StdioCommand, over: Callable[[], None]) -> None:
        self._command = command
        self._over = over
        self._errors: deque[str] = deque(maxlen=_TAIL)
        self._process: asyncio.subprocess.Process | None = None

    @asynccontextmanager
    async def streams(self) -> AsyncIterator[Streams]:
        """The process runs until this is left; then nothing of its group is left either."""
        process = self._process = await _start(self._command)
        to_session, reading = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        writing, from_session = anyio.create_memory_object_stream[SessionMessage](0)
        try:
            with to_session, reading, writing, from_session:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._read, process, to_session)
                    tasks.start_soon(_write, process, from_session)
                    tasks.start_soon(self._listen, process)
                    try:
                        yield reading, writing
                    finally:
                        tasks.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True), suppress(TimeoutError):
                await _end(process)
                async with asyncio.timeout(GRACE):
                    await self._listen(process)

    async def hears(self) -> None:
        """From its start on."""

    def last_words(self) -> str:
        """How it ended and what it said last, for the text of an error."""
        code = self._process.returncode if self._process is not None else None
        ended = "" if code is None else f"; it ended with code `{code}`"
        return ended + (f"; its last words: `{' / '.join(self._errors)}`" if self._errors else "")

    async def _read(self, process: asyncio.subprocess.Process, to_session: To) -> None:
        assert process.stdout is not None
        try:
            with to_session:
                while line := await process.stdout.readline():
                    if (message := self._parsed(line)) is not None:
                        await to_session.send(message)
        except ValueError:  # asyncio's word for a line above its limit
            log.warning("upstream.answer_too_large", command=self._command.name, limit=LARGEST)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass  # the session is being closed
        self._over()

    def _parsed(self, line: bytes) -> SessionMessage | None:
        """Servers that print to their standard output by mistake are forgiven."""
        try:
            return SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
        except ValueError:
            log.warning("upstream.line_ignored", command=self._command.name, size=len(line))
            return None

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        while chunk := await process.stderr.read(4096):
            self._errors.extend(chunk.decode(errors="replace").splitlines())


async def _write(process: asyncio.subprocess.Process, from_session: From) -> None:
    assert process.stdin is not None
    with suppress(ConnectionError, RuntimeError):  # it has gone: reading notices
        async for item in from_session:
            text = item.message.model_dump_json(by_alias=True, exclude_unset=True)
            process.stdin.write(text.encode() + b"\n")
            await process.stdin.drain()


async def _start(command: StdioCommand) -> asyncio.subprocess.Process:
    environment = _environment(command.env)
    program = shutil.which(command.command, path=environment.get("PATH"))
    if program is None:
        raise Refused(
            f"the program `{command.command}` of command `{command.name}` was not found or may not "
            "be run",
            code="unknown_command",
        )
    # Through `tie`, so that it dies with us however we die.
    tied = [sys.executable, "-I", "-S", tie.__file__, str(os.getpid()), program, *command.args]
    return await asyncio.create_subprocess_exec(
        *tied,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
        cwd=command.cwd,
        limit=LARGEST,
        start_new_session=True,
    )


def _environment(own: Mapping[str, str]) -> dict[str, str]:
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    return inherited | dict(own)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Close its input; then SIGTERM, then SIGKILL to its group (MCP, stdio "Shutdown")."""
    if process.stdin is not None:
        process.stdin.close()
    for order in (signal.SIGTERM, signal.SIGKILL):
        with suppress(TimeoutError):
            async with asyncio.timeout(GRACE):
                await process.wait()
        # Its children may outlive it, so the group is told even when it has gone.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, order)
    async with asyncio.timeout(GRACE):  # a child that left the group may hold its pipes
        await process.wait()
