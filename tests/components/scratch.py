"""Folders that servers under other users can reach."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
