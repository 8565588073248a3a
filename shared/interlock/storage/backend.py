"""What a kind of database does for `Database`."""

from collections.abc import Callable
from typing import Protocol, TypeVar

from sqlalchemy import Connection

T = TypeVar("T")
Work = Callable[[Connection], T]
"""Synchronous SQLAlchemy Core code. It may be run again where its transaction was rolled back for
a reason that is nobody's fault, so it touches nothing but its connection and its result."""


class Backend(Protocol):
    """One kind of database."""

    async def run(self, work: Work[T], *, alter: bool) -> T:
        """See `Database.run`; `alter` as in `Database.alter`."""

    async def quick(self, work: Work[T], committed: Callable[[T], None], durable: bool) -> T:
        """See `Database.quick`."""

    async def read(self, work: Work[T]) -> T:
        """See `Database.read`."""

    async def glance(self, work: Work[T]) -> T:
        """See `Database.glance`."""

    async def close(self) -> None:
        """See `Database.close`."""
