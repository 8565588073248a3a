"""Bodies as files."""

import asyncio
import os
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

from interlock.bus.claims.store import checked, named
from interlock.errors import Unavailable, Unreadable


class FolderClaims:
    """For one machine, or a file system that all share."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def put(self, body: bytes) -> str:
        name = named(body)
        try:
            await asyncio.to_thread(self._write, name, body)
        except OSError as error:
            raise Unavailable(f"bodies cannot be kept in `{self._folder}`: {error}") from None
        return name

    async def get(self, name: str) -> bytes:
        try:
            body = await asyncio.to_thread(self._path(name).read_bytes)
        except FileNotFoundError:
            raise Unreadable(f"the body `{name}` is not in `{self._folder}`") from None
        except OSError as error:
            raise Unavailable(f"bodies cannot be read in `{self._folder}`: {error}") from None
        return checked(name, body, str(self._folder))

    async def close(self) -> None: ...

    def _path(self, name: str) -> Path:
        if len(name) != len(named(b"")) or not name.isalnum():
            raise Unreadable(f"`{name}` is no name of a body")
        return self._folder / name[:2] / name

    def _write(self, name: str, body: bytes) -> None:
        """Whole or not at all, as others may read it at any time."""
        path = self._path(name)
        if path.exists():
            return
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with NamedTemporaryFile(dir=path.parent, delete=False) as file:
            try:
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
                os.replace(file.name, path)
            except OSError:
                with suppress(OSError):
                    os.unlink(file.name)
                raise
