"""Folders for servers: that other users can reach, that are quick."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOM = 1 << 30
"""Bytes that must be free in memory."""


@contextmanager
def reachable(prefix: str) -> Iterator[Path]:
    """A folder of the system's temporary one, which anybody may walk through; pytest's are closed.

    PostgreSQL is never root, and a path to its socket may have about a hundred characters.
    """
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def quick_folder(otherwise: Path, prefix: str = "interlock-") -> Iterator[Path]:
    """In memory where there is room: a server's many small files cost several times that on a disk.

    For data that need to survive a server, but not the machine.
    """
    memory = Path("/dev/shm")
    if not memory.is_dir() or shutil.disk_usage(memory).free < ROOM:
        yield otherwise
        return
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=memory))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
