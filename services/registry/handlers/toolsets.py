"""Toolsets: curated sets of tools, created and taken away by people."""

from collections.abc import Sequence
from dataclasses import dataclass

from interlock.bus import Raw, Stamp
from interlock.contracts.catalogue import ToolsetRecord
from interlock.contracts.changes import ToolsetPublished, ToolsetRetired
from interlock.contracts.ids import derived
from interlock.contracts.task import Principal, digest_of
from interlock.errors import Refused
from services.registry import decide
from services.registry.store import Servers, SqlToolsets


@dataclass(frozen=True)
class Toolsets:
    """Commands and queries of toolsets."""

    toolsets: SqlToolsets
    servers: Servers
    stamp: Stamp

    async def create(self, toolset: ToolsetRecord, by: Principal) -> None:
        """A new toolset; `Refused` (`conflict`, `invalid`) where the name or a tool is wrong."""
        decide.require_offered(toolset, await self.servers.records(toolset.tenant))

        def stated(version: int) -> Raw:
            fact = ToolsetPublished(
                by=by,
                tenant=toolset.tenant,
                name=toolset.name,
                version=version,
                record_digest=digest_of(toolset.model_dump_json()),
                tools=tuple(one.qualified for one in toolset.tools),
            )
            return self._stated(fact)

        await self.toolsets.add(toolset, stated)

    async def delete(self, tenant: str, name: str, by: Principal) -> None:
        """Offer it no longer; `Refused` (`not_found`) where there is none."""

        def stated(version: int) -> Raw:
            return self._stated(ToolsetRetired(by=by, tenant=tenant, name=name, version=version))

        await self.toolsets.remove(tenant, name, stated)

    async def all(self, tenant: str) -> Sequence[ToolsetRecord]:
        """A tenant's toolsets, by name."""
        return await self.toolsets.records(tenant)

    async def found(self, tenant: str, name: str) -> ToolsetRecord:
        """The toolset, or `Refused` (`not_found`)."""
        toolset = next((one for one in await self.all(tenant) if one.name == name), None)
        if toolset is None:
            raise Refused(f"there is no toolset `{name[:200]}`", code="not_found")
        return toolset

    def _stated(self, fact: ToolsetPublished | ToolsetRetired) -> Raw:
        made = derived("toolset", fact.tenant, fact.name, fact.type, fact.version)
        return self.stamp.state(fact, made, None, None)
