"""What a store of bodies promises."""

from hashlib import sha256
from typing import Protocol

from interlock.errors import Unreadable


class Claims(Protocol):
    """A store of bodies."""

    async def put(self, body: bytes) -> str:
        """Keep it durably; its name. `Unavailable` while the store is away."""

    async def get(self, name: str) -> bytes:
        """The body. `Unreadable` where it is not there or not what its name says."""

    async def close(self) -> None:
        """Nothing may be under way."""


def named(body: bytes) -> str:
    """SHA-256, hexadecimal."""
    return sha256(body).hexdigest()


def checked(name: str, body: bytes, where: str) -> bytes:
    """`body`, if it is the one of that name."""
    if named(body) != name:
        raise Unreadable(f"the body `{name}` in `{where}` was changed")
    return body
