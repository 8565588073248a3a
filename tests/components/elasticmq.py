"""A private ElasticMQ: SQS in memory, with the strict limits of the real one.

Its jars come from Maven Central once, into `.cache/`; INTERLOCK_TEST_SQS_URL names one that runs.
"""

import fcntl
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from interlock.embedded.tie import die_with_parent
from tests.components.java import QUICK, fetch, require_java
from tests.components.ports import lasting_port
from tests.components.required import Missing

HERE = Path(__file__).parent / "sqs"
CACHE = Path(__file__).parents[2] / ".cache"
PATIENCE = 60.0
"""Seconds that the server may take to start."""
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",  # ElasticMQ asks for none, but a client signs with some
    "AWS_DEFAULT_REGION": "elasticmq",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@contextmanager
def elasticmq() -> Iterator[str]:
    """The endpoint of a running server, `http://127.0.0.1:…`. Missing if it cannot be had."""
    jars, port = _jars(), lasting_port()
    with TemporaryDirectory(prefix="interlock-sqs-") as home:
        settings = Path(home) / "elasticmq.conf"
        settings.write_text((HERE / "elasticmq.conf").read_text().replace("PORT", str(port)))
        with _run(jars, settings, Path(home) / "log", f"http://127.0.0.1:{port}") as endpoint:
            yield endpoint


def _jars() -> Path:
    """The folder of the server's jars; fetched by whoever comes first."""
    require_java()
    pom = HERE / "pom.xml"
    folder = CACHE / f"elasticmq-{sha256(pom.read_bytes()).hexdigest()[:12]}"
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "elasticmq.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            _fetch(pom, folder)
    return folder


def _fetch(pom: Path, folder: Path) -> None:
    with TemporaryDirectory(dir=CACHE) as scratch:
        shutil.copy(pom, scratch)
        copied = Path(scratch) / "lib"
        goal = ["dependency:copy-dependencies", f"-DoutputDirectory={copied}"]
        fetch("ElasticMQ", "-f", f"{scratch}/pom.xml", *goal)
        copied.rename(folder)


@contextmanager
def _run(jars: Path, settings: Path, log: Path, endpoint: str) -> Iterator[str]:
    command = ["java", "-Xmx256m", *QUICK, f"-Dconfig.file={settings}", "-cp", f"{jars}/*"]
    with (
        log.open("w") as out,
        subprocess.Popen(
            [*command, "org.elasticmq.server.Main"],
            stdout=out,
            stderr=out,
            env=os.environ | {"JAVA_TOOL_OPTIONS": ""},
            preexec_fn=partial(die_with_parent, signal.SIGKILL),  # noqa: PLW1509 - no threads
        ) as server,
    ):
        try:
            _await(endpoint, server, log)
            yield endpoint
        finally:
            server.kill()  # all that it has is in memory
            server.wait()


def _await(endpoint: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not _answers(endpoint):
        if server.poll() is not None or time.monotonic() > deadline:
            raise Missing(f"the server did not start: {log.read_text().strip()[-500:]}")
        time.sleep(0.05)


def _answers(endpoint: str) -> bool:
    try:
        with urlopen(f"{endpoint}/?Action=ListQueues", timeout=2):
            return True
    except HTTPError:
        return True
    except (URLError, OSError):
        return False
