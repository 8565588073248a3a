"""What a service is, so that any host can run it: alone, or with others in one process."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import MetaData
from starlette.routing import BaseRoute

from interlock.bus import Backlog, Bus, BusEntry, Group, Keyring, Stamp
from interlock.identity.statements import Signer, Trust
from interlock.identity.tokens import Tokens
from interlock.runtime.relay import Relay
from interlock.runtime.settings import SuiteSettings
from interlock.state.port import Kind, StateReader
from interlock.storage.database import Database
from interlock.telemetry.metrics import Metrics
from interlock.telemetry.traces import Traces


@dataclass(frozen=True)
class Parts:
    """What a service puts into its host. Everything in it lives until `build`'s context ends."""

    http: Sequence[BaseRoute] = ()
    """Its door. Mounted at `/<service>`, the gateway's at `/`."""
    group: Group | None = None
    """What it does with the messages that it reads."""
    background: Sequence[Callable[[], Awaitable[None]]] = ()
    """Each runs until cancelled; one that raises is logged and started again with backoff."""
    ready: Sequence[Callable[[], str | None]] = ()
    """Each says None, or in one sentence why the service is not ready."""
    backlog: Callable[[], Awaitable[Sequence[Backlog]]] | None = None
    """Work that waits outside the bus (invocation's journal), under the same metric."""
    done: Callable[[], int] | None = None
    """How much of that work was done since the start; without it messages are counted."""
    apps: Sequence[tuple[str, Any]] = field(default=())
    """(path, ASGI application) beside the routes, mounted the same way."""


class Host(Protocol):
    """What a host gives to a service while it builds itself. One host serves one service."""

    @property
    def name(self) -> str: ...
    @property
    def suite(self) -> SuiteSettings: ...
    @property
    def bus(self) -> Bus: ...
    @property
    def redis(self) -> Any:
        """`redis.asyncio.Redis` (bytes, hiredis), for the service's own keys below `prefix`."""

    @property
    def bus_entry(self) -> BusEntry | None:
        """How the bus keeps a message, where it does so in this very Redis: whoever writes there
        anyway publishes with that. None where the bus is elsewhere."""

    @property
    def prefix(self) -> str:
        """`interlock:<service>:`"""

    @property
    def keyring(self) -> Keyring:
        """The suite's."""

    @property
    def stamp(self) -> Stamp: ...
    @property
    def signer(self) -> Signer:
        """This service's Ed25519 key."""

    @property
    def trust(self) -> Trust:
        """All services' public keys."""

    @property
    def tokens(self) -> Tokens:
        """Verifies callers at the door, from published state."""

    @property
    def traces(self) -> Traces: ...
    @property
    def metrics(self) -> Metrics: ...
    @property
    def now(self) -> Callable[[], datetime]: ...
    @property
    def data(self) -> Path:
        """The service's own folder."""

    @property
    def stopping(self) -> asyncio.Event:
        """Set when the process was told to stop: long streams end, nothing new is begun."""

    def state(self, *kinds: Kind[Any]) -> StateReader:
        """A reader of these kinds, loaded and kept fresh; its freshness is part of readiness."""

    async def database(self, metadata: MetaData, *, durable: bool = False) -> Database:
        """The service's database, migrated with `services/<name>/migrations`.

        `durable`: a commit survives a power cut (SQLite `synchronous=FULL`).
        """

    def relay(self, database: Database) -> Relay:
        """Publishes the database's outbox and published state; the host runs it."""


@dataclass(frozen=True)
class Service:
    """A service by name. `services/<name>/__main__.py` holds it as `service`."""

    name: str
    build: Callable[[Host], AbstractAsyncContextManager[Parts]]
    later: tuple[str, ...] = ()
    """Modules that it can do without until it is up: the host imports them then (`Later`)."""
