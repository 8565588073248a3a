"""What the registry publishes: servers and their tools."""

from datetime import date, datetime
from enum import StrEnum
from typing import Literal

from pydantic import Field

from interlock.contracts.ids import QUALIFIER, Digest, ServerName, TenantId, ToolName
from interlock.contracts.message import Model


class Environment(StrEnum):
    """Where a server runs."""

    DEVELOPMENT = "development"
    PRODUCTION = "production"


class Risk(StrEnum):
    """How much harm a call can do."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class DataClass(StrEnum):
    """The most sensitive data that a server handles."""

    PUBLIC = "public"
    INTERNAL = "internal"
    CONFIDENTIAL = "confidential"
    RESTRICTED = "restricted"


class Lifecycle(StrEnum):
    """Where a server stands between a draft and its retirement (PRODUCT.md)."""

    DRAFT = "draft"
    SUBMITTED = "submitted"
    SECURITY_REVIEW = "security_review"
    APPROVED_DEV = "approved_dev"
    APPROVED_PRODUCTION = "approved_production"
    MONITORED = "monitored"
    DEPRECATED = "deprecated"
    RETIRED = "retired"

    @property
    def callable(self) -> bool:
        """Whether any call may reach a server in this state; policy may ask for more."""
        return self in {
            Lifecycle.APPROVED_DEV,
            Lifecycle.APPROVED_PRODUCTION,
            Lifecycle.MONITORED,
            Lifecycle.DEPRECATED,
        }


class Execution(StrEnum):
    """How a call of a tool is answered to an MCP client that declares the tasks extension.

    To any other client a call is always answered with its result, or refused where the tool
    requires a task.
    """

    SYNC = "sync"
    """With its result, unless it takes longer than the inline window."""
    TASK = "task"
    """With a task, at once."""
    TASK_REQUIRED = "task_required"
    """With a task, at once; clients that know no tasks are refused."""
    MRTR_FIRST = "mrtr_first"
    """Input that it asks for at its beginning is answered on the call itself; then with a task."""


class HttpConnection(Model):
    """An MCP server over streamable HTTP."""

    transport: Literal["streamable-http"] = "streamable-http"
    url: str
    credential: str | None = None
    """Name of a secret in the secret store; never the secret."""


class StdioConnection(Model):
    """A process that an operator's settings name; an API can only name it."""

    transport: Literal["stdio"] = "stdio"
    command: ServerName


Connection = HttpConnection | StdioConnection


class ToolRecord(Model):
    """One operation of a server, as it was last approved."""

    name: ToolName
    title: str = ""
    description: str = ""
    definition: str
    """The upstream's own definition, exact JSON text."""
    digest: Digest
    """Pins `definition`."""
    repeatable: bool = False
    """Whether a repeat is safe: the registry's override, else readOnlyHint or idempotentHint."""
    read_only: bool = False
    required_scopes: tuple[str, ...] = ()
    """Beside those of the server."""
    risk: Risk | None = None
    """Overrides the server's."""
    timeout_seconds: float = 30.0
    """Of one attempt."""
    execution: Execution = Execution.SYNC
    inline_seconds: float | None = None
    """The inline window: a `sync` call that lasts longer becomes a task. None: the gateway's."""


class FeatureRecord(Model):
    """What a server offers beside tools, as it was last seen: its definition, and what names it.

    Only its place in lists is pinned by this. What a read or a prompt answers is the upstream's
    at that moment, so nobody reviews it; policy judges each.
    """

    name: str
    """A resource's URI, a template's URI template (RFC 6570), or a prompt's name."""
    definition: str
    """The upstream's own definition, exact JSON text."""
    digest: Digest


class ServerRecord(Model):
    """An upstream in the catalogue."""

    tenant: TenantId
    name: ServerName
    capability: str
    description: str = ""
    owner_team: str
    technical_owner: str
    environment: Environment
    connection: Connection = Field(discriminator="transport")
    required_scopes: tuple[str, ...] = ()
    risk: Risk = Risk.MEDIUM
    data_class: DataClass = DataClass.INTERNAL
    health_url: str | None = None
    lifecycle: Lifecycle = Lifecycle.DRAFT
    version: str = "1"
    tags: tuple[str, ...] = ()
    retire_on: date | None = None
    tools: tuple[ToolRecord, ...] = ()
    resources: tuple[FeatureRecord, ...] = ()
    templates: tuple[FeatureRecord, ...] = ()
    prompts: tuple[FeatureRecord, ...] = ()
    completes: bool = False
    """It completes arguments of prompts and templates."""
    inspected_at: datetime | None = None

    def tool(self, name: str | None) -> ToolRecord | None:
        """The tool of that name, or nothing."""
        return next((tool for tool in self.tools if tool.name == name), None)

    def scopes_for(self, tool: ToolRecord) -> tuple[str, ...]:
        """All scopes that a call of `tool` requires."""
        return tuple(sorted({*self.required_scopes, *tool.required_scopes}))


class ToolRef(Model):
    """A tool by its server and its name there."""

    server: ServerName
    tool: ToolName

    @property
    def qualified(self) -> str:
        """Its name where many servers share one list."""
        return f"{self.server}{QUALIFIER}{self.tool}"


class ToolsetRecord(Model):
    """A curated, bounded set of tools that is offered as if it were one server.

    It gives nobody a right: policy decides on each call as it does everywhere.
    """

    tenant: TenantId
    name: ServerName
    description: str = ""
    tools: tuple[ToolRef, ...]

    def has(self, server: str, tool: str) -> bool:
        """Whether it holds that tool."""
        return any((one.server, one.tool) == (server, tool) for one in self.tools)


class Inspection(Model):
    """What a look at an upstream found: the result of an `inspect` task, as JSON."""

    protocol_version: str
    server_name: str = ""
    server_version: str = ""
    instructions: str = ""
    tools: tuple[str, ...] = ()
    """Raw tool definitions, each as JSON text."""
    resources: tuple[str, ...] = ()
    templates: tuple[str, ...] = ()
    prompts: tuple[str, ...] = ()
    """Raw definitions too."""
    completes: bool = False
