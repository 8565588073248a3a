"""What must be read by nobody else: kept by name, changed by one process at a time.

`Secrets` is the port, `FileSecrets` a folder that all replicas share, `MemorySecrets` its twin.
"""

import asyncio
import fcntl
import hashlib
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Protocol

import structlog

from interlock.errors import Unavailable
from services.invocation.clients.sealing import Sealer, key_in

log = structlog.get_logger()
LOCK_SECONDS = 30.0
"""For whoever changes a secret to be done with it."""
GLANCE = 0.02
"""Seconds between two looks at a lock that another process holds."""
KEY = "key"
"""The file of the key, where it is among what it seals."""
OTHERS = 0o077
"""The bits of a mode that let others in."""


class Secrets(Protocol):
    """Keeps texts by name. `Unavailable` where it cannot."""

    async def read(self, name: str) -> str | None:
        """The newest text; None where there is none."""
        ...

    async def write(self, name: str, text: str) -> None:
        """Replace it, whole or not at all."""
        ...

    async def forget(self, name: str) -> None:
        """There is none any more."""
        ...

    def alone(self, name: str) -> AbstractAsyncContextManager[None]:
        """While entered, nobody else is: not in this process, and in no other."""
        ...


class MemorySecrets:
    """In this process only, as long as it lives."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def read(self, name: str) -> str | None:
        return self._texts.get(name)

    async def write(self, name: str, text: str) -> None:
        self._texts[name] = text

    async def forget(self, name: str) -> None:
        self._texts.pop(name, None)

    def alone(self, name: str) -> AbstractAsyncContextManager[None]:
        return self._locked(self._locks.setdefault(name, asyncio.Lock()))

    @asynccontextmanager
    async def _locked(self, lock: asyncio.Lock) -> AsyncIterator[None]:
        async with lock:
            yield


class FileSecrets:
    """A file each, sealed, mode 0600, in a folder of mode 0700.

    Replicas on several machines share the folder; its file system must know `flock` (NFSv4, and so
    EFS, does). A file or folder that others may read is not believed. Without `keys` (the newest
    first) the key is in a file of the folder itself.
    """

    def __init__(self, folder: Path, keys: Sequence[str] = ()) -> None:
        self._folder = folder
        self._keys = keys
        self._made: Sealer | None = None
        self._mine: dict[str, asyncio.Lock] = {}

    def adopt(self) -> None:
        """Seal what older versions have left plain, and anew what an older key has sealed.

        What somebody changes meanwhile is sealed by that; what no key fits is left alone.
        """
        for path in sorted(self._folder.glob("*.json")):
            try:
                self._adopt(path)
            except Unavailable as error:
                log.warning("secret.not_sealed", file=path.name, why=error.detail)

    def _adopt(self, path: Path) -> None:
        handle = self._open(path.with_suffix(".lock"))
        try:
            found = self._text(path) if _taken(handle) else None
            if found is not None and not self._sealer().is_newest(found):
                self._write(path, self._sealer().open(path.stem, found))
                log.info("secret.sealed", file=path.name)
        finally:
            os.close(handle)

    async def read(self, name: str) -> str | None:
        return await asyncio.to_thread(self._read, self._path(name))

    async def write(self, name: str, text: str) -> None:
        await asyncio.to_thread(self._write, self._path(name), text)

    async def forget(self, name: str) -> None:
        await asyncio.to_thread(self._forget, self._path(name))

    @asynccontextmanager
    async def alone(self, name: str) -> AsyncIterator[None]:
        """As the port says. The kernel lets go of what a process that died had locked."""
        path = self._path(name).with_suffix(".lock")
        async with self._mine.setdefault(name, asyncio.Lock()):
            handle = await asyncio.to_thread(self._open, path)
            try:
                await self._lock(handle)
                yield
            finally:
                os.close(handle)

    async def _lock(self, handle: int) -> None:
        try:
            async with asyncio.timeout(LOCK_SECONDS):
                while not _taken(handle):  # noqa: ASYNC110 the kernel tells nobody
                    await asyncio.sleep(GLANCE)
        except TimeoutError:
            raise Unavailable(
                f"another process has been changing a secret in `{self._folder}` for more than "
                f"`{LOCK_SECONDS:g}` seconds"
            ) from None

    def _path(self, name: str) -> Path:
        """Of any name a valid file name, which tells nothing."""
        return self._folder / f"{hashlib.sha256(name.encode()).hexdigest()[:40]}.json"

    def _open(self, path: Path) -> int:
        try:
            self._require_folder()
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._broken(error) from None

    def _sealer(self) -> Sealer:
        if self._made is None:
            path = self._folder / KEY
            try:
                self._require_folder()
                keys = self._keys or [key_in(path)]
                if not self._keys:
                    _require_private(path, path.stat())
                self._made = Sealer(keys)
            except ValueError:
                raise Unavailable(f"`{path}` holds no key, so no login can be read") from None
            except OSError as error:
                raise self._broken(error) from None
        return self._made

    def _read(self, path: Path) -> str | None:
        found = self._text(path)
        return None if found is None else self._sealer().open(path.stem, found)

    def _text(self, path: Path) -> str | None:
        try:
            with path.open(encoding="utf-8") as file:
                _require_private(path, os.fstat(file.fileno()))
                return file.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._broken(error) from None

    def _write(self, path: Path, text: str) -> None:
        new, sealed = path.with_suffix(f".{os.getpid()}.new"), self._sealer().seal(path.stem, text)
        try:
            self._require_folder()
            new.unlink(missing_ok=True)
            handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(sealed)
                file.flush()
                os.fsync(file.fileno())
            new.replace(path)
            _keep(self._folder)
        except OSError as error:
            raise self._broken(error) from None

    def _forget(self, path: Path) -> None:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise self._broken(error) from None

    def _require_folder(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _require_private(self._folder, self._folder.stat())

    def _broken(self, error: OSError) -> Unavailable:
        why = (error.strerror or str(error)).lower()
        return Unavailable(f"the secrets in `{self._folder}` cannot be used: {why}")


def _require_private(path: Path, found: os.stat_result) -> None:
    if found.st_mode & OTHERS:
        raise Unavailable(
            f"others may read `{path}`, which holds secrets; `chmod go-rwx` it, and have what was "
            "in it revoked"
        )


def _taken(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _keep(folder: Path) -> None:
    """A rename survives a power cut only with its folder."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
