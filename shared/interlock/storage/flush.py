"""What was committed reaches the disk: one flush for all who wait at the same time."""

import os
from contextlib import suppress
from functools import partial
from pathlib import Path

from interlock.errors import Unavailable
from interlock.state.shared_run import SharedRun
from interlock.storage.thread import Worker


class Flush:
    """Has the disk keep what was committed: fdatasync(2) of the WAL, one for many who wait.

    It is what SQLite does at each commit with `synchronous=FULL`.
    """

    def __init__(self, file: str) -> None:
        self._file = file
        self._handle: int | None = None
        self._thread = Worker(f"sqlite-{Path(file).stem}-flush")
        self._shared = SharedRun(self._once)

    async def __call__(self) -> None:
        """Return once all that was committed before this call is on the disk."""
        await self._shared()

    async def close(self) -> None:
        """After those who wait; nobody may come any more."""
        with suppress(Unavailable):  # there is no WAL where nothing was written
            await self._shared()
        self._thread.close()
        self._let_go()

    async def _once(self) -> None:
        try:
            await self._thread.do(partial(_datasync, self._opened()))
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise Unavailable(f"database `{self._file}` cannot be used now: {why}") from error

    def _opened(self) -> int:
        """A handle of our own, as nothing locks the WAL: kept while that is the file that is there.

        Not the thread's work, which has to wait for its turn after each system call.
        """
        wal = f"{self._file}-wal"
        there = os.stat(wal)
        if self._handle is None or not os.path.samestat(there, os.fstat(self._handle)):
            self._let_go()
            self._handle = os.open(wal, os.O_RDWR)
        return self._handle

    def _let_go(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def _datasync(handle: int) -> None:
    """As SQLite does: without the times of the file, where the platform can leave them."""
    getattr(os, "fdatasync", os.fsync)(handle)
