"""Records of one kind in memory: what every reader fills and every view shows."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Generic, TypeVar

import structlog
from pydantic import ValidationError

from interlock.contracts.message import Model
from interlock.state.port import Entry, Kind

R_co = TypeVar("R_co", bound=Model, covariant=True)

log = structlog.get_logger()


class Records(Generic[R_co]):
    """A `View` that a reader fills with `take`."""

    def __init__(self, kind: Kind[R_co], confirm: Callable[[], Awaitable[None]]) -> None:
        self.kind = kind
        self._confirm = confirm
        self.version = 0
        self._versions: dict[tuple[str, str], int] = {}
        self._records: dict[str, Mapping[str, R_co]] = {}

    def get(self, tenant: str, field: str) -> R_co | None:
        return self.of(tenant).get(field)

    def of(self, tenant: str) -> Mapping[str, R_co]:
        """A snapshot: later changes make another mapping."""
        return self._records.get(tenant) or {}

    def tenants(self) -> Sequence[str]:
        return tuple(tenant for tenant, records in self._records.items() if records)

    async def confirm(self) -> None:
        await self._confirm()

    def take(self, entries: Sequence[Entry]) -> None:
        """Believed entries of this kind. Of each field the highest version stays.

        A record that cannot be read leaves the last good one in place: a newer owner wrote it, or
        its owner has a bug, and neither takes the record away.
        """
        changed: dict[str, dict[str, R_co]] = {}
        for entry in entries:
            key = (entry.tenant, entry.field)
            if entry.version <= self._versions.get(key, 0):
                continue
            try:
                record = None if entry.body is None else self._read(entry.body)
            except ValidationError as error:
                _complain(entry, error)
                continue
            self._versions[key] = entry.version
            records = changed.setdefault(entry.tenant, dict(self.of(entry.tenant)))
            records.pop(entry.field, None)
            if record is not None:
                records[entry.field] = record
        if changed:
            self._records |= changed
            self.version += 1

    def _read(self, body: bytes) -> R_co:
        return self.kind.record.model_validate_json(body)


def _complain(entry: Entry, error: ValidationError) -> None:
    first = error.errors(include_url=False, include_input=False)[0]
    log.warning(
        "state.unreadable",
        kind=entry.kind,
        tenant=entry.tenant,
        field=entry.field,
        version=entry.version,
        why=f"{'.'.join(map(str, first['loc']))}: {first['msg']}",
    )
