"""`python -m tests.conformance.everything --port 9103`: sessions for the handshake era, too."""

from collections.abc import Sequence

from mcp.server import MCPServer

from interlock.samples.serve import parser, serve
from tests.conformance.everything import asked, asking, changing, content, lasting, rounds


def everything() -> MCPServer:
    """The server."""
    made = MCPServer("everything", version="1.0.0", instructions="Everything that there is.")
    for part in (asked, content, changing, asking, rounds, lasting):
        part.add_to(made)
    return made


def main(given: Sequence[str] | None = None) -> None:
    serve(everything().streamable_http_app(), parser("everything", 9103).parse_args(given))


if __name__ == "__main__":
    main()
