"""How a change of access is stated: with the version of the record that it made."""

from dataclasses import dataclass

from interlock.bus import Stamp
from interlock.contracts.changes import StateChanged
from interlock.contracts.ids import derived
from interlock.contracts.message import Model
from interlock.state.port import Kind
from services.auth.store import Records


@dataclass(frozen=True)
class Stating:
    """Puts records and states facts about them, in one transaction."""

    stamp: Stamp

    def put(
        self,
        records: Records,
        kind: Kind[Model],
        field: str,
        record: Model | None,
        *,
        fact: StateChanged,
    ) -> None:
        """Publish `record` for the fact's tenant and state `fact` with its version."""
        version = records.put(kind, fact.tenant, field, record)
        self.say(records, fact.model_copy(update={"version": version}), kind.name, field, version)

    def say(self, records: Records, fact: StateChanged, *place: object) -> None:
        """State `fact`; `place` is what makes it the one that it is."""
        made = derived(fact.tenant, *place, fact.type)
        records.state(self.stamp.state(fact, made, None, None))
