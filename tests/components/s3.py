"""A private moto: S3 and Secrets Manager in memory, as a process in a virtual environment of its
own, for it pins other versions than we do. The environment is made once, in `.cache/`.
"""

import fcntl
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryFile

from interlock.embedded.tie import die_with_parent
from tests.components.ports import lasting_port
from tests.components.required import Missing
from tests.components.suite import answers

LOCK = Path(__file__).parent / "aws" / "requirements.txt"
"""`uv pip compile --universal --generate-hashes` of `moto[s3,secretsmanager] flask flask-cors`."""
CACHE = Path(__file__).parents[2] / ".cache"
PATIENCE = 60.0
"""Seconds that the server may take to start."""
FETCH = 300.0
"""Seconds that the installation may take."""


@contextmanager
def moto() -> Iterator[str]:
    """The endpoint of a running server, `http://127.0.0.1:…`. Missing if it cannot be had."""
    python, port = _python(), lasting_port()
    endpoint = f"http://127.0.0.1:{port}"
    with (
        TemporaryFile() as log,
        subprocess.Popen(
            [str(python), "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            stdout=log,
            stderr=log,
            preexec_fn=partial(die_with_parent, signal.SIGKILL),  # noqa: PLW1509 - no threads
        ) as server,
    ):
        try:
            deadline = time.monotonic() + PATIENCE
            while answers(f"{endpoint}/moto-api/") != 200:
                if server.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    raise Missing(f"moto did not start: {log.read().decode()[-500:]}")
                time.sleep(0.05)
            yield endpoint
        finally:
            server.kill()  # all that it has is in memory
            server.wait()


def _python() -> Path:
    """The interpreter of the environment; made by whoever comes first."""
    folder = CACHE / f"moto-{sha256(LOCK.read_bytes()).hexdigest()[:12]}"
    python = folder / "bin" / "python"
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "moto.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "ready").exists():
            _make(folder)
            (folder / "ready").touch()
    return python


def _make(folder: Path) -> None:
    """With uv, in a fraction of pip's time; with pip, as it is configured, where uv cannot."""
    uv, python = (sys.executable, "-m", "uv"), str(folder / "bin" / "python")
    what = ("install", "-q", "--require-hashes", "--no-deps", "-r", str(LOCK))
    try:
        _run(*uv, "venv", "-q", "--clear", "--python", sys.executable, str(folder))
        _run(*uv, "pip", *what, "--python", python)
    except Missing:
        _run(sys.executable, "-m", "venv", "--clear", str(folder))
        _run(python, "-m", "pip", "--disable-pip-version-check", *what)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH, check=False)
    if done.returncode != 0:
        raise Missing(f"`{' '.join(command[:4])} …` failed: {done.stderr.strip()[-500:]}")
