"""Published state: what one service owns and every service must see at once (DESIGN §2)."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from interlock.contracts.access import (
    AgentRecord,
    ApiKeyRecord,
    IssuerRecord,
    PolicySetRecord,
    RevocationRecord,
    UserRecord,
)
from interlock.contracts.catalogue import ServerRecord, ToolsetRecord
from interlock.contracts.message import Model

R = TypeVar("R", bound=Model)
R_co = TypeVar("R_co", bound=Model, covariant=True)


@dataclass(frozen=True)
class Kind(Generic[R_co]):
    """One kind of published record, its owner and its model."""

    name: str
    owner: str
    record: type[R_co]


CATALOGUE = Kind("catalogue", "registry", ServerRecord)
"""Field: the server's name."""
TOOLSETS = Kind("toolsets", "registry", ToolsetRecord)
"""Field: the toolset's name."""
AGENTS = Kind("agents", "auth", AgentRecord)
"""Field: the agent's name."""
USERS = Kind("users", "auth", UserRecord)
"""Field: the user's name."""
API_KEYS = Kind("api_keys", "auth", ApiKeyRecord)
"""Field: the key's id. Key ids are unique across tenants."""
ISSUERS = Kind("issuers", "auth", IssuerRecord)
"""Field: the issuer's URL."""
REVOCATIONS = Kind("revocations", "auth", RevocationRecord)
"""Field: `<kind>:<name>`."""
POLICY = Kind("policy", "policy", PolicySetRecord)
"""Field: `set`."""


@dataclass(frozen=True)
class Entry:
    """One value as its owner publishes it. A null `body` is a removal, kept so that it wins."""

    kind: str
    tenant: str
    field: str
    version: int
    body: bytes | None


class StateWriter(Protocol):
    """The owner's side."""

    async def write(self, entries: Sequence[Entry]) -> None:
        """Store each whose version is higher than what is there, and announce; `Unavailable`."""


class View(Protocol[R_co]):
    """All records of one kind, in memory; reading never waits."""

    @property
    def version(self) -> int:
        """Grows with every change of any record: a key for caches."""

    def get(self, tenant: str, field: str) -> R_co | None:
        """The record, or None where there is none or it was removed."""

    def of(self, tenant: str) -> Mapping[str, R_co]:
        """All records of a tenant by field."""

    def tenants(self) -> Sequence[str]:
        """Tenants that have any record."""

    async def confirm(self) -> None:
        """One read of the version counter and a reload if behind.

        To be awaited before a *no* that rests on this view is final. `Unavailable` if it fails.
        """


class StateReader(Protocol):
    """The readers' side: several kinds kept fresh together."""

    def view(self, kind: Kind[R]) -> View[R]:
        """The view of a kind that this reader was opened with."""

    @property
    def fresh(self) -> bool:
        """False when nothing was refreshed for 5 s: answer 503, stop reading, claim nothing."""

    async def load(self) -> None:
        """Read everything once; `Unavailable` where that fails. Before anything else."""

    async def run(self) -> None:
        """Follow announcements and read the counters every 500 ms, until cancelled."""

    async def want(self, kind: Kind[Any], tenant: str, field: str) -> None:
        """Tell the owner that a record may be out of date. A hint: it may get lost."""

    def wanted(self, kind: Kind[Any]) -> AsyncIterator[tuple[str, str]]:
        """For the owner: (tenant, field) of each hint of this suite's from now on; it may be an old
        one that somebody sends again.

        `Unavailable` ends it.
        """
