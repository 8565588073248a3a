"""The CRM's tools. Their annotations are honest: a gateway decides by them what may be repeated."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations
from pydantic import Field

from interlock.contracts.upstream import TASK_ID_META
from interlock.samples.crm.book import Book, Customer, Deal, DiscountRequest, Stage, UnknownDeal
from interlock.samples.crm.trouble import Trouble

T = TypeVar("T")
Caller = Context[Any, Any]
DealId = Annotated[str, Field(description="The opportunity's id, such as `opp-1`.")]
Percent = Annotated[int, Field(ge=1, le=50)]
READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)


def crm_server(book: Book, trouble: Trouble) -> MCPServer[Any]:
    """The MCP server over `book`."""
    server: MCPServer[Any] = MCPServer(
        "crm",
        version="1.0.0",
        log_level="WARNING",
        instructions="Opportunities, customers and discounts of a sales team.",
    )
    begin = _beginning(trouble)
    _reading(server, book, begin)
    _changing(server, book, begin)
    return server


Begin = Callable[[Caller, str], Awaitable[None]]


def _beginning(trouble: Trouble) -> Begin:
    async def begin(caller: Caller, tool: str) -> None:
        """Play what is armed for `tool`, then count it: from here on it takes effect."""
        if (why := await trouble.inside(tool)) is not None:
            raise ToolError(why)
        meta: dict[str, Any] = {**(caller.request_context.meta or {})}
        trouble.note(tool, meta.get(TASK_ID_META))

    return begin


def _reading(server: MCPServer[Any], book: Book, begin: Begin) -> None:
    @server.tool(title="Search opportunities", annotations=READS)
    async def search_opportunities(
        caller: Caller,
        query: str = "",
        stage: Stage | None = None,
        limit: Annotated[int, Field(ge=1, le=100)] = 10,
    ) -> list[Deal]:
        """Find opportunities by customer or title."""
        await begin(caller, "search_opportunities")
        return book.search(query, stage, limit)

    @server.tool(title="Export customers", annotations=READS)
    async def export_customers(caller: Caller) -> list[Customer]:
        """Every customer with the personal data of its contact: sensitive. Tells its progress."""
        await begin(caller, "export_customers")
        exported: list[Customer] = []
        for customer in book.customers:
            exported.append(customer)
            await caller.report_progress(len(exported), len(book.customers), customer.name)
            await asyncio.sleep(0)
        return exported


def _changing(server: MCPServer[Any], book: Book, begin: Begin) -> None:
    @server.tool(title="Update stage", annotations=_changes(destructive=True, idempotent=True))
    async def update_stage(caller: Caller, opportunity_id: DealId, stage: Stage) -> Deal:
        """Set how far an opportunity has come, whatever it was before."""
        await begin(caller, "update_stage")
        return _known(lambda: book.move(opportunity_id, stage))

    @server.tool(title="Request a discount", annotations=_changes(destructive=False))
    async def request_discount(
        caller: Caller, opportunity_id: DealId, percent: Percent, reason: str
    ) -> DiscountRequest:
        """Ask for a discount; each call is one more request. Tells its progress."""
        await caller.report_progress(1, 2, reason)
        await begin(caller, "request_discount")
        made = _known(lambda: book.request(opportunity_id, percent, reason))
        await caller.report_progress(2, 2, reason)
        return made

    @server.tool(title="Grant a discount", annotations=_changes(destructive=True))
    async def grant_discount(caller: Caller, opportunity_id: DealId, percent: Percent) -> Deal:
        """Lower an opportunity's price; each call lowers it once more."""
        await begin(caller, "grant_discount")
        return _known(lambda: book.grant(opportunity_id, percent))


def _changes(*, destructive: bool, idempotent: bool = False) -> ToolAnnotations:
    return ToolAnnotations(
        read_only_hint=False,
        destructive_hint=destructive,
        idempotent_hint=idempotent,
        open_world_hint=False,
    )


def _known(change: Callable[[], T]) -> T:
    try:
        return change()
    except UnknownDeal as error:
        raise ToolError(str(error)) from None
