"""`python -m interlock.samples.crm --port 9101`."""

from collections.abc import Sequence

from interlock.samples.crm.app import crm_app
from interlock.samples.serve import parser, serve


def main(given: Sequence[str] | None = None) -> None:
    """Serve the CRM until told to stop."""
    options = parser("crm", 9101)
    options.add_argument(
        "--handshake-only", action="store_true", help="speak MCP 2025-11-25 and older only"
    )
    chosen = options.parse_args(given)
    serve(crm_app(handshake_only=chosen.handshake_only, host=chosen.host), chosen)


if __name__ == "__main__":
    main()
