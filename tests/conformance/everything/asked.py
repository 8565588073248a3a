"""What this server was asked to do, and for which of Interlock's tasks: see `/control/asked`."""

from typing import Any

from mcp.server import MCPServer, ServerRequestContext
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from interlock.contracts.upstream import TASK_ID_META

WORK = frozenset({"tools/call", "resources/read", "prompts/get", "completion/complete"})
"""What must be a task; the rest looks at what there is."""


def add_to(server: MCPServer) -> None:
    """A middleware that remembers, and the page that tells."""
    asked: dict[str, str] = {}

    async def remember(ctx: ServerRequestContext[Any, Any], call_next: Any) -> Any:
        if ctx.method in WORK:
            meta = (ctx.params or {}).get("_meta") or {}
            asked[str(meta.get(TASK_ID_META, ""))] = ctx.method
        return await call_next(ctx)

    async def tell(request: Request) -> Response:
        return JSONResponse(asked)

    server.custom_route("/control/asked", methods=["GET"])(tell)
    server.middleware.append(remember)
