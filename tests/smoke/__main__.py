"""`python -m tests.smoke --url http://localhost:8080`: exit code 0 if it is all as it must be."""

import argparse
import asyncio
import sys
from pathlib import Path

from interlock.errors import InterlockError
from tests.smoke.story import Failed, Place, tell

MADE = (Path(".interlock-compose"), Path(".interlock-local"))
"""Where deploy/secrets.sh leaves what it made: for containers, for `make up-local`."""


def main() -> int:
    """Tell the story of the suite that the options name."""
    options = argparse.ArgumentParser(prog="python -m tests.smoke", description=__doc__)
    options.add_argument("--url", default="http://localhost:8080", help="the edge")
    options.add_argument("--issuer", default="http://localhost:8180/realms/interlock")
    options.add_argument(
        "--upstream",
        default="http://crm:9101/mcp",
        help="the sample CRM, as the service invocation reaches it",
    )
    options.add_argument("--realm", type=Path, help="file of the realm's passwords and secrets")
    chosen = options.parse_args()
    realm = chosen.realm or next(
        (path for folder in MADE if (path := folder / "secrets" / "realm").exists()), None
    )
    if realm is None:
        options.error("name the realm's secrets with --realm (deploy/secrets.sh makes them)")
    place = Place(chosen.url, chosen.issuer, chosen.upstream, realm)
    try:
        asyncio.run(tell(place, lambda text: print(text, file=sys.stderr)))  # noqa: T201 for people
    except (Failed, InterlockError, RuntimeError) as error:
        sys.stderr.write(f"smoke test failed: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
