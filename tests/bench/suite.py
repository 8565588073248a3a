"""A suite and its upstream as processes of their own, for measuring from outside."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import psutil

from interlock.runtime.supervisor import free_port

STARTS_WITHIN = 60.0


@dataclass
class Suite:
    """A running suite, and how to talk to it as its operator."""

    url: str
    data: Path
    process: subprocess.Popen[bytes]
    started_in: float
    """Seconds from the command to readiness."""

    @property
    def operator_key(self) -> str:
        return (self.data / "operator.key").read_text("utf-8").strip()

    def ask(self, method: str, path: str, body: Any = None, token: str | None = None) -> Any:
        """The JSON answer; an error's body is in the exception's text."""
        request = Request(
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {token or self.operator_key}",
                "Content-Type": "application/json",
                "Prefer": "wait=20",
            },
        )
        try:
            with urlopen(request, timeout=40) as answer:
                text = answer.read()
        except HTTPError as error:
            raise RuntimeError(f"{method} {path}: {error.code} {error.read().decode()}") from None
        return json.loads(text) if text else None

    def cpu(self) -> dict[str, float]:
        """CPU seconds so far, by process: the services of a separate suite each have their own."""
        found: dict[str, float] = {}
        for process in [psutil.Process(self.process.pid), *_children(self.process.pid)]:
            times = process.cpu_times()
            found[_named(process)] = found.get(_named(process), 0.0) + times.user + times.system
        return found

    def resident(self) -> dict[str, float]:
        """Resident memory, MB, by process."""
        everyone = [psutil.Process(self.process.pid), *_children(self.process.pid)]
        return {_named(one): one.memory_info().rss / 1e6 for one in everyone}


def _children(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def _named(process: psutil.Process) -> str:
    words = " ".join(process.cmdline())
    if "valkey" in words:
        return "valkey"
    for word in process.cmdline():
        if word.startswith("services."):
            return word.removeprefix("services.")
    return "suite"


@contextmanager
def suite(data: Path, *arguments: str, env: dict[str, str] | None = None) -> Iterator[Suite]:
    """`interlock up` on a free port; told to stop at the end, by id."""
    port = free_port()
    began = time.perf_counter()
    command = [sys.executable, "-m", "interlock.cli", "up", "--port", str(port), *arguments]
    environment = os.environ | {"INTERLOCK_DATA": str(data), "INTERLOCK_LOG_LEVEL": "warning"}
    with (data.parent / "suite.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment | (env or {}), stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        _until(lambda: _ready(url), process, data.parent / "suite.log")
        yield Suite(url, data, process, time.perf_counter() - began)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=40)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def upstream(module: str, *arguments: str) -> Iterator[str]:
    """A sample server of ours as a process; its URL."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", module, "--port", str(port), *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _until(lambda: _answers(url), process, None)
        yield url
    finally:
        process.terminate()
        process.wait()


def _ready(url: str) -> bool:
    try:
        with urlopen(f"{url}/health/ready", timeout=2) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


def _answers(url: str) -> bool:
    try:
        with urlopen(f"{url}/mcp", timeout=2):
            return True
    except HTTPError:
        return True
    except (URLError, OSError):
        return False


def _until(done: Any, process: "subprocess.Popen[bytes]", log: Path | None) -> None:
    until = time.monotonic() + STARTS_WITHIN
    while not done():
        if process.poll() is not None or time.monotonic() > until:
            told = log.read_text("utf-8", "replace")[-2000:] if log else ""
            raise RuntimeError(f"it did not start: {told}")
        time.sleep(0.02)


def quantile(values: Sequence[float], q: float) -> float:
    """The value below which a share `q` of them lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]
