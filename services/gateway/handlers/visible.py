"""What the catalogue offers, and what of it a caller is shown. Policy decides; this only hides."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeVar

import orjson

from interlock.contracts.access import PolicySetRecord
from interlock.contracts.catalogue import ServerRecord, ToolsetRecord
from interlock.contracts.ids import QUALIFIER, Digest
from interlock.errors import Refused
from interlock.identity.tokens import Caller
from interlock.policy import Asker, LoadedPolicies, PolicySets, load, may_see
from interlock.state.port import View
from services.gateway.decide.schema import Validator, validator_of
from services.gateway.model import ALL, Front, Offer

KEPT = 4096
LONGEST = timedelta(seconds=60)
"""How long a list is kept where rules may look at the clock."""


T = TypeVar("T")


class _Shown(NamedTuple):
    versions: tuple[int, ...]
    until: datetime
    what: Sequence[Any]


class Tool(NamedTuple):
    """A tool's definition, parsed once."""

    definition: dict[str, Any]
    validator: Validator | None


class Visible:
    """The published catalogue through the eyes of callers."""

    def __init__(
        self,
        catalogue: View[ServerRecord],
        policies: View[PolicySetRecord],
        toolsets: View[ToolsetRecord],
        now: Callable[[], datetime],
    ) -> None:
        self._catalogue = catalogue
        self._policies = policies
        self._toolsets = toolsets
        self.now = now
        self._sets = PolicySets(load)
        self._shown: dict[tuple[Any, ...], _Shown] = {}
        self._tools: dict[Digest, Tool] = {}

    async def find(self, tenant: str, server: str, tool: str) -> Offer:
        """The tool, whether the caller may use it or not: that is policy's to say.

        Raises `Refused` (`not_found`) once it is certain that there is none.
        """
        found = self._find(tenant, server, tool)
        if found is None:
            await self._catalogue.confirm()
            found = self._find(tenant, server, tool)
        if found is None:
            known = self._catalogue.get(tenant, server) is not None
            what = f"tool `{tool}` is not offered by server" if known else "there is no server"
            raise Refused(f"{what} `{server}`; `GET /v1/tools` lists what is", code="not_found")
        return found

    def _find(self, tenant: str, server: str, tool: str) -> Offer | None:
        record = self._catalogue.get(tenant, server)
        found = record.tool(tool) if record else None
        return Offer(record, found) if record and found else None

    async def server(self, tenant: str, name: str) -> ServerRecord:
        """The server; `Refused` (`not_found`) unless the tenant has it."""
        found = self._catalogue.get(tenant, name)
        if found is None:
            await self._catalogue.confirm()
            found = self._catalogue.get(tenant, name)
        if found is None:
            raise Refused(f"there is no server `{name[:200]}`", code="not_found")
        return found

    async def toolset(self, tenant: str, name: str) -> ToolsetRecord:
        """The toolset; `Refused` (`not_found`) unless the tenant has it."""
        found = self._toolsets.get(tenant, name)
        if found is None:
            await self._toolsets.confirm()
            found = self._toolsets.get(tenant, name)
        if found is None:
            raise Refused(f"there is no toolset `{name[:200]}`", code="not_found")
        return found

    def servers(self, tenant: str) -> Sequence[ServerRecord]:
        """The tenant's servers, by name."""
        return [server for _, server in sorted(self._catalogue.of(tenant).items())]

    def of(self, caller: Caller, front: Front = ALL) -> Sequence[Offer]:
        """What a call of may be allowed or held, in the order of its names."""
        offers = self.shown(caller, "tools", lambda: self._judge(caller))
        if front.server is not None:
            return [one for one in offers if one.server.name == front.server]
        if front.toolset is None:
            return offers
        found = self._toolsets.get(caller.principal.tenant, front.toolset)
        held = set() if found is None else {one.qualified for one in found.tools}
        return [one for one in offers if one.qualified in held]

    @property
    def versions(self) -> tuple[int, ...]:
        """Grow with everything that lists rest on."""
        return self._policies.version, self._catalogue.version, self._toolsets.version

    def shown(self, caller: Caller, what: str, judge: Callable[[], Sequence[T]]) -> Sequence[T]:
        """What `judge` says, asked once for a caller, a policy version and a catalogue version."""
        versions = self.versions
        key = (what, caller.principal, caller.roles, caller.groups, caller.token_scopes)
        now = self.now()
        shown = self._shown.get(key)
        if shown is None or shown.versions != versions or shown.until <= now:
            if len(self._shown) >= KEPT:
                self._shown.clear()
            shown = self._shown[key] = _Shown(versions, now + LONGEST, judge())
        return shown.what

    def _judge(self, caller: Caller) -> Sequence[Offer]:
        tenant, now = caller.principal.tenant, self.now()
        policies, asker = self.loaded(tenant), self.asker(caller)
        offers = [Offer(server, tool) for server in self.servers(tenant) for tool in server.tools]
        seen = [one for one in offers if may_see(policies, asker, one.server, one.tool, now)]
        return sorted(seen, key=lambda one: one.qualified)

    def asker(self, caller: Caller) -> Asker:
        """The caller as policy knows it."""
        return Asker(caller.principal, caller.roles, caller.groups, caller.token_scopes)

    def loaded(self, tenant: str) -> LoadedPolicies:
        """The tenant's policy set in force."""
        return self._sets.of(tenant, self._policies.get(tenant, "set"))

    def tool(self, offer: Offer) -> Tool:
        """The definition as the upstream has it, and the validator of its arguments."""
        digest = offer.tool.digest
        if digest not in self._tools:
            if len(self._tools) >= KEPT:
                self._tools.clear()
            definition = orjson.loads(offer.tool.definition)
            self._tools[digest] = Tool(definition, validator_of(definition))
        return self._tools[digest]


def split(name: str) -> tuple[str, str]:
    """Server and tool of a qualified name; `Refused` (`not_found`) where it is none."""
    server, found, tool = name.partition(QUALIFIER)
    if not found:
        raise Refused(
            f"there is no tool `{name[:200]}`; names are `<server>{QUALIFIER}<tool>`, as "
            "`tools/list` has them",
            code="not_found",
        )
    return server, tool
