"""A private PostgreSQL on a unix socket in a folder in memory; fast rather than durable."""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import asyncpg
import psutil
from sqlalchemy import make_url

from interlock.embedded.tie import die_with_parent
from tests.components.required import Missing
from tests.components.scratch import quick_folder

PATIENCE = 30.0
"""Seconds that the server may take to start, or to stop."""

UNSAFE_BUT_FAST = (
    *("fsync=off", "synchronous_commit=off", "full_page_writes=off"),
    "max_wal_size=256MB",
)


@dataclass
class Postgres:
    """A server on one folder, whichever process is it at the moment."""

    home: Path
    """Its data, and its socket."""
    port: int = 5432
    settings: Sequence[str] = ()
    _process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        """Its own database, `postgres`."""
        return f"postgresql+asyncpg://interlock@/postgres?host={self.home}"

    def start(self) -> "Postgres":
        """Return once it answers. Missing if none is installed."""
        binaries, user = _binaries(), _user()
        if user is not None:
            shutil.chown(self.home, user)
        if not (self.home / "data").exists():
            _make(binaries, self.home, user)
        told = (f"port={self.port}", f"unix_socket_directories={self.home}", *self.settings)
        flags = [part for setting in told for part in ("-c", setting)]
        with self._log.open("a") as out:
            self._process = subprocess.Popen(
                [str(binaries / "postgres"), "-D", str(self.home / "data"), *flags],
                user=user,
                cwd=self.home,
                stdout=out,
                stderr=out,
                preexec_fn=partial(die_with_parent, signal.SIGQUIT),  # noqa: PLW1509 - no threads
            )
        self._await(binaries, self._process)
        return self

    def kill(self) -> None:
        """SIGKILL to all of its processes: what they had not written is lost."""
        assert self._process is not None
        root = psutil.Process(self._process.pid)
        everyone = [root, *root.children(recursive=True)]
        for one in everyone:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        self._process.wait(PATIENCE)
        psutil.wait_procs(everyone, timeout=PATIENCE)

    def stop(self) -> None:
        """In order."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(PATIENCE)

    @property
    def _log(self) -> Path:
        return self.home / "log"

    def _await(self, binaries: Path, process: "subprocess.Popen[bytes]") -> None:
        deadline = time.monotonic() + PATIENCE
        where = ("--host", str(self.home), "--port", str(self.port))
        asked = [str(binaries / "pg_isready"), "--quiet", *where]
        while subprocess.run(asked, check=False).returncode != 0:
            if process.poll() is not None or time.monotonic() > deadline:
                raise Missing(f"the server did not start: {self._log.read_text().strip()[-2000:]}")
            time.sleep(0.02)


@contextmanager
def postgres(*settings: str) -> Iterator[Postgres]:
    """A running server of one's own. Missing if none is installed."""
    with (
        tempfile.TemporaryDirectory(prefix="interlock-pg-") as disk,
        quick_folder(Path(disk), "interlock-pg-") as home,
    ):
        server = Postgres(home, settings=("listen_addresses=", *UNSAFE_BUT_FAST, *settings))
        try:
            yield server.start()
        finally:
            server.stop()


@contextmanager
def kept(home: Path, port: int, *settings: str) -> Iterator[None]:
    """A server whose data stay in `home`, where its socket is; at `port` passwords are asked for.

    Missing if none is installed.
    """
    server = Postgres(home, port, settings)
    try:
        server.start()
        yield
    finally:
        server.stop()


def query(home: Path, port: int, *options: str) -> str:
    """What `psql` says at the socket of a server in `home`, as its owner."""
    command = (
        _binaries() / "psql",
        "-h",
        home,
        "-p",
        str(port),
        "-U",
        "interlock",
        "-d",
        "postgres",
    )
    ran = subprocess.run(
        [*command, "-v", "ON_ERROR_STOP=1", "-qtA", *options],
        capture_output=True,
        text=True,
        check=True,
    )
    return ran.stdout.strip()


@asynccontextmanager
async def fresh_database(server: str, template: str = "template0") -> AsyncIterator[str]:
    """The URL of a new database on `server`, dropped afterwards whoever still uses it.

    It is empty, or a copy of the database `template`, which nobody may use meanwhile.
    """
    name = f"interlock_test_{secrets.token_hex(4)}"
    async with admin(server) as connection:
        yield await create(connection, server, name, template)
        await drop(connection, name)


@asynccontextmanager
async def admin(server: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A connection to a server's own database."""
    url = make_url(server).set(drivername="postgresql")
    connection = await asyncpg.connect(url.render_as_string(hide_password=False))
    try:
        yield connection
    finally:
        await connection.close()


async def create(
    connection: "asyncpg.Connection[asyncpg.Record]", server: str, name: str, template: str
) -> str:
    """The URL of a new database, a copy of `template`."""
    # From version 15 on every page is copied through the log, unless told otherwise.
    how = "STRATEGY FILE_COPY" if connection.get_server_version().major >= 15 else ""
    await connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} {how}")
    return make_url(server).set(database=name).render_as_string(hide_password=False)


async def drop(connection: "asyncpg.Connection[asyncpg.Record]", name: str) -> None:
    """The database is gone, whoever uses it."""
    await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _binaries() -> Path:
    """Debian keeps server programs off PATH, in a folder for each version: take the newest."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    debian = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    if newest := max(debian, key=lambda path: int(path.parts[-3]), default=None):
        return newest.parent
    raise Missing("no `initdb` on PATH or in /usr/lib/postgresql: install the server package")


def _user() -> str | None:
    """PostgreSQL refuses to run as root: then as somebody else."""
    if os.getuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    if user := next((name for name in ("postgres", "nobody") if name in known), None):
        return user
    raise Missing("running as root, and neither user `postgres` nor `nobody` exists")


def _make(binaries: Path, home: Path, user: str | None) -> None:
    auth = ("--auth-local=trust", "--auth-host=scram-sha-256")
    settings = ("-U", "interlock", *auth, "--encoding=UTF8", "--locale=C", "--no-sync")
    made = subprocess.run(
        [str(binaries / "initdb"), "-D", str(home / "data"), *settings],
        user=user,
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode != 0:
        raise Missing(f"`initdb` failed: {made.stderr.strip()}")
