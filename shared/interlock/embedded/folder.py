"""The data folder of an embedded server: its locks, its log, and the recorded address.

| file | holds |
|---|---|
| `owner.lock` | locked while an owner lives; its text is the owner's pid |
| `server.lock` | locked while owner or server lives: the server inherits the descriptor |
| `valkey.url` | where the server answers, for those who attach |
| `valkey.sock` | the socket, unless the folder's path is too long for one |
| `valkey.log` | all that the server says |
"""

import fcntl
import hashlib
import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, unquote

from interlock.errors import Refused

LONGEST_SOCKET = 103
"""Bytes of a socket's path: `sun_path` holds 104 on macOS and 108 on Linux, one of them a NUL."""


IN_USE = "in_use"
"""Code of the refusal of a folder whose owner lives."""


class Folder:
    """One data folder. `own` and `claim` take its two locks, `release` gives both back."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.log = self.path / "valkey.log"
        self._url = self.path / "valkey.url"
        self._owner: int | None = None
        self._server: int | None = None

    def own(self) -> None:
        """Become the one owner. Refused, with the pid, while another lives."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path.chmod(0o700)
            self._owner = _lock(self.path / "owner.lock")
        except OSError as error:
            raise Refused(
                f"data folder `{self.path}` cannot be used (`{error.strerror}`): "
                "choose another, or give it to this user"
            ) from error
        if self._owner is None:
            raise Refused(
                f"data folder `{self.path}` belongs to the running process `{self._holder()}`: "
                "stop that one, attach to it, or choose another folder",
                code=IN_USE,
            )
        os.truncate(self._owner, 0)
        os.write(self._owner, str(os.getpid()).encode())

    def claim(self) -> int | None:
        """The descriptor for a server to inherit; None while a dead owner's server lives."""
        if self._server is None:
            self._server = _lock(self.path / "server.lock")
        return self._server

    def release(self) -> None:
        """Let the next owner in. A server that still runs keeps its own lock."""
        for held in (self._server, self._owner):
            if held is not None:
                os.close(held)
        self._server = self._owner = None

    def place_socket(self) -> Path:
        """Where the server shall listen, recorded for those who attach; the same at every start.

        A path too long for a socket is replaced by a private folder among the temporary files.
        """
        socket = self.path / "valkey.sock"
        if _too_long(socket):
            socket = _short_home(self.path) / "valkey.sock"
        draft = self._url.with_suffix(".new")
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
            out.write(url_of(socket))
        draft.replace(self._url)
        return socket

    def recorded_socket(self) -> Path | None:
        """Where the last owner's server listens or did listen; None after a clean stop."""
        try:
            return Path(unquote(self._url.read_text().removeprefix("unix://")))
        except FileNotFoundError:
            return None

    def forget_socket(self, socket: Path) -> None:
        """Remove what `place_socket` made."""
        self._url.unlink(missing_ok=True)
        socket.unlink(missing_ok=True)
        if socket.parent != self.path:
            with suppress(OSError):
                socket.parent.rmdir()

    def open_log(self) -> int:
        """A descriptor that appends to the log."""
        return os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def last_words(self) -> str:
        """The last line of the log, which says why a server did not start."""
        with self.log.open("rb") as log:
            log.seek(max(0, self.log.stat().st_size - 4096))
            lines = log.read().decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "nothing")

    def _holder(self) -> str:
        """The pid in the lock, `unknown` in the instant before its owner wrote it."""
        return (self.path / "owner.lock").read_text() or "unknown"


def url_of(socket: Path) -> str:
    """The address of a socket, as `redis.asyncio.from_url` takes it (percent-encoded path)."""
    return f"unix://{quote(str(socket))}"


def _lock(path: Path) -> int | None:
    """A descriptor that holds `path` locked (flock(2)), or None if another process does."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _too_long(socket: Path) -> bool:
    return len(os.fsencode(socket)) > LONGEST_SOCKET


def _short_home(data: Path) -> Path:
    """A folder that only this user can enter, named by `data` so that a restart finds it again."""
    name = f"interlock-{os.getuid()}-{hashlib.sha256(os.fsencode(data)).hexdigest()[:16]}"
    home = Path(tempfile.gettempdir()) / name
    if _too_long(home / "valkey.sock"):
        raise Refused(
            f"the socket's path would be longer than `{LONGEST_SOCKET}` bytes in `{data}` and in "
            f"`{home.parent}`: choose a shorter data folder, or a shorter TMPDIR"
        )
    home.mkdir(mode=0o700, exist_ok=True)
    found = home.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise Refused(f"`{home}` is not a private folder of this user: remove it")
    return home
