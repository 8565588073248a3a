"""A real Kafka broker (KRaft, one node) from Maven Central, on free ports of loopback.

`with kafka(folder) as broker:` gives one of one's own, to be killed and started again. Maven
fetches it once, into `.cache/` at the root of the repository (git ignores it); Java 17 runs it.
"""

import base64
import fcntl
import hashlib
import secrets
import shutil
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from interlock.embedded.tie import die_with_parent
from tests.components.java import QUICK, fetch, require_java
from tests.components.ports import lasting_port
from tests.components.required import Missing

FILES = Path(__file__).parent / "kafka_broker"
CACHE = Path(__file__).parents[2] / ".cache" / "kafka"
PATIENCE = 180.0
"""Seconds that the broker may take to start, or to stop: after a kill it reads its logs again."""
SPARING = ("-Xms64m", "-Xmx512m")
ASKED = struct.pack(">i", 0x0B0E)
API_VERSIONS = struct.pack(">ihh", 10, 18, 0) + ASKED + struct.pack(">h", -1)
"""The one request that any client may send first: it is answered once the broker serves, and the
answer, behind its length, begins with the number `ASKED`."""


@dataclass
class Broker:
    """A broker on one data folder and one port, whichever process is it at the moment."""

    folder: Path
    jars: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    """Properties other than the usual ones; `PORT` and `DATA` are replaced in them too."""
    port: int = field(default_factory=lasting_port)
    controller_port: int = field(default_factory=lasting_port)
    salted: Sequence[str] = ()
    """Users of SCRAM, as its format tool takes them: `SCRAM-SHA-512=[name=…,password=…]`."""
    _process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        """For `INTERLOCK_BUS_URL`: options for a single node, on which nobody waits long."""
        return f"kafka://127.0.0.1:{self.port}?replication=1&partitions=2&session=2"

    @property
    def pid(self) -> int | None:
        """The process; None while it is down."""
        alive = self._process is not None and self._process.poll() is None
        return self._process.pid if alive and self._process else None

    @property
    def log(self) -> Path:
        return self.folder / "broker.log"

    def start(self) -> "Broker":
        """Return once it answers; the data of an earlier start is there again."""
        self.launch()
        return self.wait()

    def launch(self) -> None:
        """The process, which dies with the thread that this is called in."""
        if not self._config.exists():
            self._make()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._java("kafka.Kafka", *SPARING), str(self._config)],
                stdout=log,
                stderr=log,
                preexec_fn=partial(die_with_parent, signal.SIGKILL),  # noqa: PLW1509 - no threads
            )

    def wait(self) -> "Broker":
        """Until it answers."""
        end = time.monotonic() + PATIENCE
        while not _serves(self.port):
            if self.pid is None or time.monotonic() > end:
                how = "ended" if self.pid is None else f"does not answer for {PATIENCE:g} s"
                raise Missing(f"the broker {how}: {self.log.read_text()[-2000:]}")
            time.sleep(0.05)
        return self

    def allow_writing(self, user: str, topic: str) -> None:
        """An ACL, where the broker keeps any: CreateAcls, version 1."""
        texts = (topic.encode(), b"User:" + user.encode(), b"*")
        name, principal, host = (struct.pack(">h", len(text)) + text for text in texts)
        literal, write, allow = b"\x03", b"\x04", b"\x03"
        acl = b"\x02" + name + literal + principal + host + write + allow
        asked = struct.pack(">hhihi", 30, 1, 1, -1, 1) + acl
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as line:
            line.sendall(struct.pack(">i", len(asked)) + asked)
            answer = line.recv(64)
        if answer[16:18] != b"\0\0":  # length, correlation, throttled, count, then the error
            raise RuntimeError(f"the broker did not take the ACL: {answer!r}")

    def kill(self) -> None:
        """SIGKILL, and gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE)

    stop = kill
    """Nothing of a test's broker is worth the seconds of an orderly end."""

    @property
    def _config(self) -> Path:
        return self.folder / "server.properties"

    def _make(self) -> None:
        """An empty data folder, formatted."""
        self.folder.mkdir(parents=True, exist_ok=True)
        text = (FILES / "server.properties").read_text()
        for name, value in self.settings.items():
            text += f"{name}={value}\n"  # the last one of a name holds
        data = str(self.folder / "data")
        text = text.replace("CONTROLLER_PORT", str(self.controller_port))
        text = text.replace("PORT", str(self.port)).replace("DATA", data)
        cluster = base64.urlsafe_b64encode(b"i" + secrets.token_bytes(15)).decode().rstrip("=")
        draft = self.folder / "draft.properties"
        draft.write_text(text)
        command = [*self._java("kafka.tools.StorageTool", *SPARING), "format", "-t", cluster, "-c"]
        salted = [word for user in self.salted for word in ("--add-scram", user)]
        made = subprocess.run(
            [*command, str(draft), *salted],
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
        if made.returncode:
            raise Missing(f"the broker's folder could not be formatted: {made.stdout}{made.stderr}")
        draft.rename(self._config)

    def _java(self, main: str, *options: str) -> list[str]:
        logs = f"-Dlog4j2.configurationFile={FILES / 'log4j2.properties'}"
        return ["java", *QUICK, *options, logs, "-cp", f"{self.jars}/*", main]


def _serves(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as line:
            line.sendall(API_VERSIONS)
            return line.recv(8)[4:] == ASKED
    except OSError:
        return False


def jars() -> Path:
    """The broker's libraries, fetched where they are not there yet."""
    require_java()
    pom = FILES / "pom.xml"
    folder = CACHE / hashlib.sha256(pom.read_bytes()).hexdigest()[:12]
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():
            return folder
        partial_folder = folder.with_suffix(".partial")
        shutil.rmtree(partial_folder, ignore_errors=True)
        goal = ("dependency:copy-dependencies", f"-DoutputDirectory={partial_folder}")
        fetch("the broker", "-f", str(pom), *goal)
        partial_folder.rename(folder)
    return folder


PATIENT = {"broker.session.timeout.ms": "20000"}
"""For a broker that is not to be killed: a loaded machine must not take it for dead."""


@contextmanager
def kafka(
    folder: Path, settings: Mapping[str, str] | None = None, salted: Sequence[str] = ()
) -> Iterator[Broker]:
    """A broker of one's own below `folder`, stopped at the end. Missing where there can be none."""
    broker = Broker(folder, jars(), settings or {}, salted=salted)
    try:
        yield broker.start()
    finally:
        broker.stop()
