"""A look at an upstream: what it says about itself, and everything that it offers."""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog
from mcp.shared.inbound import find_invalid_x_mcp_header
from mcp.types import SERVER_INFO_META_KEY

from interlock.contracts.catalogue import Inspection
from services.invocation.clients import faults
from services.invocation.clients.port import Connection, Reach, UpstreamError
from services.invocation.clients.text import Span, elements

log = structlog.get_logger()
MOST_PAGES = 100
"""Of one list."""
Page = Callable[[str, str | None], Awaitable[Mapping[str, Span]]]
"""Asks `(method, cursor)` for a page of a list: the members of its result."""


async def inspection_of(
    connection: Connection, version: str, said: Mapping[str, Any], page: Page
) -> Inspection:
    """What the server offers. `said` is its `server/discover` or `initialize` result.

    Tools are always asked for; of the rest, what it declares. Its name is for display only.
    """
    meta = said.get("_meta")
    given = said.get("serverInfo") or (meta or {}).get(SERVER_INFO_META_KEY)
    named = given if isinstance(given, dict) else {}
    declared = said.get("capabilities")
    has = declared if isinstance(declared, dict) else {}
    lists = _Lists(connection, page)
    return Inspection(
        protocol_version=version,
        server_name=str(named.get("name", "")),
        server_version=str(named.get("version", "")),
        instructions=str(said.get("instructions") or ""),
        tools=tuple(one for one in await lists.all("tools/list", "tools") if _proper(one)),
        resources=await lists.declared(has, "resources", "resources/list", "resources"),
        templates=await lists.declared(
            has, "resources", "resources/templates/list", "resourceTemplates"
        ),
        prompts=await lists.declared(has, "prompts", "prompts/list", "prompts"),
        completes="completions" in has,
    )


def _proper(definition: str) -> bool:
    """Tools whose headers cannot be mirrored are left out (MCP 2026-07-28, "Streamable HTTP")."""
    if "x-mcp-header" not in definition:
        return True
    tool = json.loads(definition)
    why = find_invalid_x_mcp_header(tool.get("inputSchema")) if isinstance(tool, dict) else None
    if why is not None:
        log.warning("upstream.tool_left_out", tool=tool.get("name"), why=why)
    return why is None


class _Lists:
    def __init__(self, connection: Connection, page: Page) -> None:
        self._connection = connection
        self._page = page

    async def declared(
        self, has: Mapping[str, Any], capability: str, method: str, member: str
    ) -> tuple[str, ...]:
        """The list, where its capability is declared. Few servers serve every list of one."""
        if has.get(capability) is None:
            return ()
        try:
            return await self.all(method, member)
        except UpstreamError as error:
            if error.code != faults.METHOD_NOT_FOUND:
                raise
            return ()

    async def all(self, method: str, member: str) -> tuple[str, ...]:
        """The definitions on all pages, each as the server wrote it."""
        found: list[str] = []
        cursor: str | None = None
        for _ in range(MOST_PAGES):
            page = await self._page(method, cursor)
            try:
                found.extend(one.text for one in elements(page[member].text))
            except (KeyError, ValueError) as error:
                why = f"bad list of {member} ({error})"
                raise faults.unreadable(self._connection, why) from None
            more = page.get("nextCursor")
            if more is None or not isinstance(more.value, str) or not more.value:
                return tuple(found)
            cursor = more.value
        raise UpstreamError(Reach.ANSWERED, f"it lists its {member} on over `{MOST_PAGES}` pages")
