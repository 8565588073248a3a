"""Lists that change. Whoever approved this server has seen all of its tools, so they only go."""

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.prompts import Prompt

SPARE = 20
"""Tools that may go: one with each call."""


def add_to(server: MCPServer) -> None:
    """Everything of this module."""
    spare = [f"spare_tool_{number:02}" for number in range(SPARE)]
    for name in spare:
        server.tool(name=name)(spare_tool)
    prompts = 0

    async def test_trigger_tool_change(ctx: Context) -> str:
        """Offers one tool less, and says so."""
        server.remove_tool(spare.pop())
        await ctx.notify_tools_changed()
        return "One tool less."

    async def test_trigger_prompt_change(ctx: Context) -> str:
        """Offers one prompt more, and says so."""
        nonlocal prompts
        prompts += 1
        server.add_prompt(Prompt.from_function(more, name=f"more_{prompts}"))
        await ctx.notify_prompts_changed()
        return "One prompt more."

    server.tool()(test_trigger_tool_change)
    server.tool()(test_trigger_prompt_change)


def spare_tool() -> str:
    """Is there to go."""
    return "Here still."


def more() -> str:
    """Is one of many."""
    return "More."
