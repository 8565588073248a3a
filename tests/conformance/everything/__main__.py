"""`python -m tests.conformance.everything --port 9103`: sessions for the handshake era, too."""

from collections.abc import Sequence

from mcp.server import MCPServer

from interlock.samples.crm.app import Door
from interlock.samples.crm.trouble import Trouble
from interlock.samples.serve import parser, serve
from tests.conformance.everything import asked, asking, changing, content, lasting, rounds


def everything() -> MCPServer:
    """The server."""
    made = MCPServer(
        "everything",
        version="1.0.0",
        instructions="Everything that there is.",
        log_level="CRITICAL",  # what a tool raises on purpose is laid out for seconds otherwise
    )
    for part in (asked, content, changing, asking, rounds, lasting):
        part.add_to(made)
    return made


def main(given: Sequence[str] | None = None) -> None:
    options = parser("everything", 9103)
    options.add_argument(
        "--handshake-only", action="store_true", help="speak MCP 2025-11-25 and older only"
    )
    chosen = options.parse_args(given)
    app = everything().streamable_http_app()
    serve(Door(app, Trouble(), handshake_only=True) if chosen.handshake_only else app, chosen)


if __name__ == "__main__":
    main()
