"""The registry's door for servers: register, look up, edit and move them."""

import asyncio
from datetime import date
from typing import Any

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from interlock.contracts.catalogue import (
    Connection,
    DataClass,
    Environment,
    Execution,
    Lifecycle,
    Risk,
    ServerRecord,
)
from interlock.contracts.ids import ServerName
from interlock.identity.asgi import answered, authenticate, preferred_wait
from interlock.identity.caller import Caller
from interlock.identity.roles import Right, has, require
from interlock.identity.tokens import Tokens
from interlock.runtime.bodies import Body, body
from interlock.runtime.pages import takes
from interlock.runtime.relay import Relay
from services.registry.decide import REVIEWED, needs_review
from services.registry.handlers import Registry
from services.registry.model import Entry, Similar, ToolChange

LOOK_AGAIN = 0.05


class NewServer(Body):
    """What an owner says of a server when registering it."""

    name: ServerName
    capability: str = Field(min_length=1, max_length=200)
    description: str = Field(default="", max_length=4000)
    owner_team: str = Field(min_length=1, max_length=200)
    technical_owner: str = Field(min_length=1, max_length=200)
    environment: Environment
    connection: Connection = Field(discriminator="transport")
    required_scopes: tuple[str, ...] = ()
    risk: Risk = Risk.MEDIUM
    data_class: DataClass = DataClass.INTERNAL
    health_url: str | None = None
    version: str = "1"
    tags: tuple[str, ...] = ()


class ToolEdit(Body):
    """What an owner may set of a tool."""

    repeatable: bool | None = None
    required_scopes: tuple[str, ...] | None = None
    risk: Risk | None = None
    timeout_seconds: float | None = Field(default=None, gt=0, le=3600)
    execution: Execution | None = None
    """How a client that knows tasks is answered."""
    inline_seconds: float | None = Field(default=None, ge=0, le=3600)
    """A `sync` call that lasts longer becomes a task for such a client."""


class ServerEdit(Body):
    """What an owner may change; what is left out stays."""

    capability: str | None = Field(default=None, min_length=1, max_length=200)
    description: str | None = Field(default=None, max_length=4000)
    owner_team: str | None = Field(default=None, min_length=1, max_length=200)
    technical_owner: str | None = Field(default=None, min_length=1, max_length=200)
    required_scopes: tuple[str, ...] | None = None
    risk: Risk | None = None
    data_class: DataClass | None = None
    health_url: str | None = None
    version: str | None = None
    tags: tuple[str, ...] | None = None
    tools: dict[str, ToolEdit] = Field(default_factory=dict)


class MoveServer(Body):
    """Where to, and why. `retire_on` goes with `deprecated`."""

    to: Lifecycle
    reason: str = ""
    retire_on: date | None = None


class AcceptTool(Body):
    """Why a changed definition is believed."""

    reason: str = ""


class Door:
    """The endpoints, relative to `/registry`."""

    def __init__(self, registry: Registry, relay: Relay, tokens: Tokens, wait_limit: float) -> None:
        self._registry = registry
        self._relay = relay
        self._tokens = tokens
        self._wait_limit = wait_limit

    @takes(NewServer)
    async def register(self, request: Request) -> Response:
        """Register a server as a draft; its tools are asked for by an `inspect` task."""
        caller = await self._caller(request, Right.SERVERS_WRITE)
        new = await body(request, NewServer)
        record = ServerRecord(tenant=caller.principal.tenant, **dict(new))
        entry, warnings = await self._registry.register(record, caller.principal)
        await self._relay.flush()
        return await self._inspecting(request, entry, warnings, 201)

    async def inspect(self, request: Request) -> Response:
        """Ask the upstream for its tools again."""
        caller = await self._caller(request, Right.SERVERS_WRITE)
        name = request.path_params["name"]
        entry = await self._registry.inspect(caller.principal.tenant, name, caller.principal)
        await self._relay.flush()
        return await self._inspecting(request, entry, [], 202)

    async def list(self, request: Request) -> Response:
        """The tenant's servers; filters: `lifecycle tag owner environment q`."""
        caller = await self._caller(request, Right.SERVERS_READ)
        records = await self._registry.servers.records(caller.principal.tenant)
        asked = request.query_params
        return JSONResponse({"servers": [_public(r) for r in records if _matches(r, asked)]})

    async def show(self, request: Request) -> Response:
        """One server, with what is not yet believed of it."""
        _, entry = await self._entry(request, Right.SERVERS_READ)
        return JSONResponse(_whole(entry))

    async def history(self, request: Request) -> Response:
        """What happened to a server, and by whom."""
        _, entry = await self._entry(request, Right.SERVERS_READ)
        record = entry.record
        moments = await self._registry.servers.history(record.tenant, record.name)
        told = [
            {"at": m.at.isoformat(), "by": m.by, "what": m.what, "reason": m.reason}
            for m in moments
        ]
        return JSONResponse({"history": told})

    @takes(ServerEdit)
    async def edit(self, request: Request) -> Response:
        """Change metadata and tools' settings; what an approval rests on is a reviewer's."""
        caller, entry = await self._entry(request, Right.SERVERS_WRITE)
        change = await body(request, ServerEdit)
        said = change.model_dump(exclude={"tools"}, exclude_unset=True, exclude_none=True)
        record = entry.record.model_copy(update=said)
        tools = {name: ToolChange(**dict(edit)) for name, edit in change.tools.items()}
        if needs_review(entry, said, tools):
            require(caller, Right.SERVERS_REVIEW)
        edited = await self._registry.edit(entry, record, tools, caller.principal)
        await self._relay.flush()
        return JSONResponse(_whole(edited))

    @takes(MoveServer)
    async def move(self, request: Request) -> Response:
        """Move a server through its lifecycle; what reviewers decide needs their right."""
        caller, entry = await self._entry(request, Right.SERVERS_READ)
        asked = await body(request, MoveServer)
        if asked.to in REVIEWED or not has(caller, Right.SERVERS_WRITE):
            require(caller, Right.SERVERS_REVIEW)
        moved = await self._registry.move(
            entry, asked.to, caller.principal, asked.reason, asked.retire_on
        )
        await self._relay.flush()
        return JSONResponse(_whole(moved))

    @takes(AcceptTool)
    async def accept(self, request: Request) -> Response:
        """Believe a tool definition that changed at the upstream."""
        caller, entry = await self._entry(request, Right.SERVERS_REVIEW)
        asked = await body(request, AcceptTool)
        tool = request.path_params["tool"]
        taken = await self._registry.accept(entry, tool, caller.principal, asked.reason)
        await self._relay.flush()
        return JSONResponse(_whole(taken))

    async def _inspecting(
        self, request: Request, entry: Entry, warnings: Any, status: int
    ) -> Response:
        """Answer at once, or when the inspection ended if the caller prefers to wait."""
        wait = min(preferred_wait(request) or 0.0, self._wait_limit)
        if wait:
            entry = await self._ended(entry, wait)
            warnings = [*warnings, *await self._registry.same_tools(entry)]
        shown = _whole(entry) | {"warnings": [_warning(one) for one in warnings]}
        headers = {"Location": f"/registry/v1/servers/{entry.record.name}"}
        return JSONResponse(shown, status_code=status, headers=headers)

    async def _ended(self, entry: Entry, wait: float) -> Entry:
        loop = asyncio.get_running_loop()
        until = loop.time() + wait
        revision = entry.revision
        while entry.revision == revision and loop.time() < until:
            await asyncio.sleep(LOOK_AGAIN)
            entry = await self._registry.found(entry.record.tenant, entry.record.name)
        return entry

    async def _caller(self, request: Request, right: Right) -> Caller:
        caller = await authenticate(request, self._tokens)
        require(caller, right)
        return caller

    async def _entry(self, request: Request, right: Right) -> tuple[Caller, Entry]:
        caller = await self._caller(request, right)
        name = request.path_params["name"]
        return caller, await self._registry.found(caller.principal.tenant, name)


def _matches(record: ServerRecord, asked: Any) -> bool:
    words = f"{record.name} {record.capability} {record.description}".lower()
    return (
        asked.get("lifecycle") in (None, record.lifecycle.value)
        and asked.get("environment") in (None, record.environment.value)
        and asked.get("owner") in (None, record.owner_team)
        and (asked.get("tag") is None or asked["tag"] in record.tags)
        and (asked.get("q") or "").lower() in words
    )


def _public(record: ServerRecord) -> dict[str, Any]:
    offered = ("tools", "resources", "templates", "prompts")
    shown = record.model_dump(mode="json", exclude={*offered})
    return shown | {name: [one.name for one in getattr(record, name)] for name in offered}


def _whole(entry: Entry) -> dict[str, Any]:
    return entry.record.model_dump(mode="json") | {
        "inspected": entry.record.inspected_at is not None,
        "inspect_task": entry.inspect_task,
        "inspect_error": entry.inspect_error,
        "pending_tools": [tool.model_dump(mode="json") for tool in entry.pending],
        "revision": entry.revision,
    }


def _warning(one: Similar) -> dict[str, str]:
    return {"server": one.name, "why": one.why}


def routes(door: Door) -> list[Route]:
    """The registry's routes."""
    one = "/v1/servers/{name}"
    return [
        Route("/v1/servers", answered(door.register), methods=["POST"]),
        Route("/v1/servers", answered(door.list)),
        Route(one, answered(door.show)),
        Route(one, answered(door.edit), methods=["PATCH"]),
        Route(f"{one}/move", answered(door.move), methods=["POST"]),
        Route(f"{one}/inspect", answered(door.inspect), methods=["POST"]),
        Route(f"{one}/history", answered(door.history)),
        Route(f"{one}/tools/{{tool}}/accept", answered(door.accept), methods=["POST"]),
    ]
