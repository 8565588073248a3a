"""What a toolset may hold."""

from collections.abc import Iterable

from interlock.contracts.catalogue import ServerRecord, ToolsetRecord
from interlock.errors import Refused


def require_offered(toolset: ToolsetRecord, servers: Iterable[ServerRecord]) -> None:
    """`Refused` (`invalid`) names each tool that no server offers, or that is there twice."""
    offered = {(server.name, tool.name) for server in servers for tool in server.tools}
    asked = [(one.server, one.tool) for one in toolset.tools]
    wrong = [one for one in dict.fromkeys(asked) if one not in offered or asked.count(one) > 1]
    if wrong:
        told = ", ".join(f"`{tool}` of server `{server}`" for server, tool in wrong)
        raise Refused(
            f"a toolset has tools that servers offer, each once; look at {told}",
            code="invalid",
            data={"tools": [{"server": server, "tool": tool} for server, tool in wrong]},
        )
