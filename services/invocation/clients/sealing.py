"""Secrets at rest: sealed with a key of the installation, so that a copied disk tells nothing.

Fernet (AES-128-CBC with HMAC-SHA256), by `cryptography`. The newest of several keys seals; any of
them opens, so a key is changed by putting a new one before it.
"""

import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from interlock.errors import Unavailable


class Sealer:
    """What is sealed says whose it is: it is not taken for another's that lies in its place."""

    def __init__(self, keys: Sequence[str]) -> None:
        """The newest first; `ValueError` where one is no key."""
        found = [Fernet(key) for key in keys]
        self._newest, self._any = found[0], MultiFernet(found)

    def seal(self, whose: str, text: str) -> str:
        return self._any.encrypt(f"{whose}\n{text}".encode()).decode()

    def open(self, whose: str, found: str) -> str:
        """The text; also one from before texts were sealed. `Unavailable` where no key fits."""
        if is_plain(found):
            return found
        try:
            owner, _, text = self._any.decrypt(found).decode().partition("\n")
        except InvalidToken:
            owner, text = "", ""
        if owner != whose:
            raise Unavailable(
                "what is kept of a login was sealed with another key; give that one too, as an "
                "older one in `INTERLOCK_INVOCATION_LOGIN_KEYS`, or log in again"
            )
        return text

    def is_newest(self, found: str) -> bool:
        """Whether it is sealed, and with the newest key."""
        try:
            self._newest.decrypt(found)
        except InvalidToken:
            return False
        return True


def is_plain(found: str) -> bool:
    """Whether a text was never sealed: what is kept is JSON."""
    return found.startswith("{")


def key_in(path: Path) -> str:
    """The key in a file, made by whoever needs it first; `OSError` where it cannot be."""
    if not path.exists():
        handle, new = tempfile.mkstemp(suffix=".new", dir=path.parent)  # mode 0600
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(Fernet.generate_key())
                file.flush()
                os.fsync(file.fileno())
            with suppress(FileExistsError):
                os.link(new, path)  # whole, and only if nobody else was first
        finally:
            os.unlink(new)
    return path.read_text("ascii").strip()
