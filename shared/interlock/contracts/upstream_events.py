"""What changed at an upstream without anybody's task: everything on `upstream.events`."""

from enum import StrEnum

from pydantic import Field

from interlock.contracts.ids import ServerName, TenantId
from interlock.contracts.message import Fact
from interlock.contracts.topics import Topic


class UpstreamList(StrEnum):
    """What an upstream lists. Templates are listed with resources (MCP, "List Changed")."""

    TOOLS = "tools"
    PROMPTS = "prompts"
    RESOURCES = "resources"


class UpstreamChanged(Fact):
    """Base of them all."""

    topic = Topic.UPSTREAM_EVENTS

    tenant: TenantId
    server: ServerName

    @property
    def tenant_id(self) -> str:
        return self.tenant

    @property
    def subject(self) -> str:
        return self.server


class UpstreamListChanged(UpstreamChanged):
    """Its lists are not what they were when last stated, or it says so itself.

    Nothing in the catalogue has changed by that: the registry looks, and decides what to believe.
    """

    type = "interlock.upstream.list_changed.v1"

    lists: tuple[UpstreamList, ...] = Field(min_length=1)


class UpstreamResourceUpdated(UpstreamChanged):
    """The upstream says that a resource to which somebody listens may read differently now."""

    type = "interlock.upstream.resource_updated.v1"

    uri: str = Field(min_length=1)
    """As the upstream has it; perhaps of a part of what was subscribed to."""
