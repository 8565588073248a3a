"""One server process: its command line, its start, its end."""

import asyncio
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from interlock.embedded import tie
from interlock.embedded.folder import Folder
from interlock.errors import Unavailable

_GLANCE = 0.01
_PATIENCE = 1.0


@dataclass(frozen=True, kw_only=True)
class Launch:
    """What to start, and where. `lock` is the descriptor that the server inherits."""

    binary: Path
    folder: Folder
    socket: Path
    lock: int
    maxmemory: str
    silence: float

    def command(self) -> list[str]:
        """Through `tie`, under this interpreter without its site, which starts in 15 ms."""
        tied = [sys.executable, "-I", "-S", tie.__file__, str(os.getpid())]
        settings = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "600",
            "dir": str(self.folder.path),
            "daemonize": "no",
            "appendonly": "yes",
            "appendfsync": "always",  # `everysec` lost acknowledged writes behind a slow disk
            "aof-load-truncated": "yes",
            "save": "",
            "maxmemory": self.maxmemory,
            "maxmemory-policy": "noeviction",
        }
        flags = [part for name, value in settings.items() for part in (f"--{name}", value)]
        return [*tied, str(self.binary), *flags]


async def launch(plan: Launch) -> asyncio.subprocess.Process:
    """The process, once it answers. Unavailable, and nothing left behind, if it does not."""
    out = plan.folder.open_log()
    try:
        process = await asyncio.create_subprocess_exec(
            *plan.command(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            pass_fds=(plan.lock,),
            start_new_session=True,  # Ctrl-C is for the owner, who stops its services first
        )
    finally:
        os.close(out)
    answers = False
    try:
        await _until_it_answers(process, plan)
        answers = True
    finally:
        if not answers:
            await end(process, grace=0)
    return process


async def end(process: asyncio.subprocess.Process, grace: float) -> None:
    """Have the process finish its writes and end, or kill it after `grace` seconds."""
    try:
        with suppress(ProcessLookupError, TimeoutError):
            process.terminate()
            async with asyncio.timeout(grace):
                await process.wait()
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def ask(socket: Path, command: str) -> str | None:
    """The first line of the answer to an inline command; None if nobody answers in time."""
    try:
        async with asyncio.timeout(_PATIENCE):
            reader, writer = await asyncio.open_unix_connection(socket)
            writer.write(f"{command}\r\n".encode())
            answer = await reader.readline()
            writer.close()
            await writer.wait_closed()
            return answer.decode().strip()
    except (OSError, TimeoutError):
        return None


async def _until_it_answers(process: asyncio.subprocess.Process, plan: Launch) -> None:
    clock = asyncio.get_running_loop().time
    heard = clock()
    while process.returncode is None:
        answer = await ask(plan.socket, "PING")
        if answer == "+PONG":
            return
        if answer:  # `-LOADING …`: it reads its file back
            heard = clock()
        if clock() - heard > plan.silence:
            raise Unavailable(
                f"the server did not answer for `{plan.silence:g}` seconds: see `{plan.folder.log}`"
            )
        await asyncio.sleep(_GLANCE)
    raise Unavailable(
        f"the server ended with code `{process.returncode}`, its last words were "
        f"`{plan.folder.last_words()}`: see `{plan.folder.log}`"
    )
