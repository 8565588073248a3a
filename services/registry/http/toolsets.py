"""The registry's door for toolsets: create, list, show, delete."""

from typing import Annotated, Any

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from interlock.contracts.catalogue import ToolRef, ToolsetRecord
from interlock.contracts.ids import ServerName
from interlock.identity.asgi import answered, authenticate
from interlock.identity.caller import Caller
from interlock.identity.roles import Right, require
from interlock.identity.tokens import Tokens
from interlock.runtime.bodies import Body, body
from interlock.runtime.pages import takes
from interlock.runtime.relay import Relay
from services.registry.handlers import Toolsets

MOST = 100
"""Tools in one set: more than a model can choose from."""


class NewToolset(Body):
    """A set of tools of one or more servers, offered at `/toolsets/<name>/mcp`."""

    name: ServerName
    description: str = Field(default="", max_length=4000)
    tools: Annotated[tuple[ToolRef, ...], Field(min_length=1, max_length=MOST)]


class ToolsetDoor:
    """The endpoints, relative to `/registry`."""

    def __init__(self, toolsets: Toolsets, relay: Relay, tokens: Tokens) -> None:
        self._toolsets = toolsets
        self._relay = relay
        self._tokens = tokens

    @takes(NewToolset)
    async def create(self, request: Request) -> Response:
        """Create a toolset. Who may use its tools is policy's to say, as everywhere."""
        caller = await self._caller(request, Right.SERVERS_WRITE)
        new = await body(request, NewToolset)
        made = ToolsetRecord(tenant=caller.principal.tenant, **dict(new))
        await self._toolsets.create(made, caller.principal)
        await self._relay.flush()
        headers = {"Location": f"/registry/v1/toolsets/{made.name}"}
        return JSONResponse(_shown(made), status_code=201, headers=headers)

    async def list(self, request: Request) -> Response:
        """The tenant's toolsets, by name."""
        caller = await self._caller(request, Right.SERVERS_READ)
        found = await self._toolsets.all(caller.principal.tenant)
        return JSONResponse({"toolsets": [_shown(one) for one in found]})

    async def show(self, request: Request) -> Response:
        """One toolset."""
        caller = await self._caller(request, Right.SERVERS_READ)
        name = request.path_params["name"]
        return JSONResponse(_shown(await self._toolsets.found(caller.principal.tenant, name)))

    async def delete(self, request: Request) -> Response:
        """Offer a toolset no longer."""
        caller = await self._caller(request, Right.SERVERS_WRITE)
        name = request.path_params["name"]
        await self._toolsets.delete(caller.principal.tenant, name, caller.principal)
        await self._relay.flush()
        return Response(status_code=204)

    async def _caller(self, request: Request, right: Right) -> Caller:
        caller = await authenticate(request, self._tokens)
        require(caller, right)
        return caller


def _shown(toolset: ToolsetRecord) -> dict[str, Any]:
    return toolset.model_dump(mode="json") | {"url": f"/toolsets/{toolset.name}/mcp"}


def toolset_routes(door: ToolsetDoor) -> list[Route]:
    """The routes of toolsets."""
    one = "/v1/toolsets/{name}"
    return [
        Route("/v1/toolsets", answered(door.create), methods=["POST"]),
        Route("/v1/toolsets", answered(door.list)),
        Route(one, answered(door.show)),
        Route(one, answered(door.delete), methods=["DELETE"]),
    ]
