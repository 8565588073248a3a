"""Databases that a service has migrated already: copies of one that was, in this process.

A copy costs a fraction of a migration, which is tested where it is the matter.
"""

import asyncio
import secrets
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from interlock.storage import Database, migrate
from tests.components.postgres import admin, create, drop, fresh_database


@dataclass
class Migrated:
    """The models, by the package of the migrations."""

    folder: Path
    _files: dict[str, Path] = field(default_factory=dict)
    _databases: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Their servers and names."""

    async def sqlite(self, package: str, path: Path) -> None:
        """A SQLite file, made at `path`."""
        if package not in self._files:
            model = self.folder / f"{package}.db"
            await _migrate(f"sqlite:///{model}", package)
            self._files[package] = model
        shutil.copyfile(self._files[package], path)

    @asynccontextmanager
    async def postgres(self, package: str, server: str) -> AsyncIterator[str]:
        """The URL of a database of one's own on `server`."""
        if package not in self._databases:
            name = f"interlock_model_{secrets.token_hex(4)}"
            async with admin(server) as connection:
                url = await create(connection, server, name, "template0")
            self._databases[package] = (server, name)
            await _migrate(url, package)
        _, model = self._databases[package]
        async with fresh_database(server, model) as url:
            yield url

    async def close(self) -> None:
        """The models are gone from their servers."""
        for server, name in self._databases.values():
            async with admin(server) as connection:
                await drop(connection, name)


@contextmanager
def migrated(folder: Path) -> Iterator[Migrated]:
    """Models below `folder`, for as long as the block lasts."""
    made = Migrated(folder)
    try:
        yield made
    finally:
        asyncio.run(made.close())


async def _migrate(url: str, package: str) -> None:
    database = Database(url, schema=package.split(".")[-2])
    try:
        await migrate(database, package)
    finally:
        await database.close()
