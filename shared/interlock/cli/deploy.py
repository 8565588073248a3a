"""`interlock edge` and `interlock deal-keys`: what containers need beside the services."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

import typer

from interlock.cli.connection import answered
from interlock.cli.output import say

SIGNERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "gateway": ("gateway",),
        "auth": ("auth",),
        "registry": ("registry",),
        "policy": ("policy",),
        "invocation": ("invocation",),
        "audit": ("audit", "ledger"),
    }
)
"""The private keys that each service signs with."""


def add_to(app: typer.Typer) -> None:
    """Hang the commands onto the root."""
    app.command()(edge)
    app.command("deal-keys")(deal)


def edge() -> None:
    """Run the edge alone: routes to INTERLOCK_EDGE_ROUTES by the path, as a load balancer would."""
    from interlock.runtime import main  # noqa: PLC0415 a second that other commands save
    from interlock.runtime.front import edge_settings, front  # noqa: PLC0415 as above
    from interlock.telemetry.logs import configure_logs  # noqa: PLC0415 as above

    def start() -> None:
        settings = main.settings_from_environment()
        configure_logs(settings.log_level, settings.log_format)
        main.run_loop(front(settings, edge_settings().places))

    answered(start)


def deal(
    folder: Annotated[Path, typer.Argument(help="Where a folder for each service is made.")],
) -> None:
    """Make the suite's keys: a folder for each service, to be handed to it alone.

    Each holds the suite's key, the service's own private key and everybody's public ones. Keys that
    are there stay as they are.
    """
    from interlock.identity.keys import deal_keys  # noqa: PLC0415 what most commands need not load

    answered(lambda: deal_keys(folder, SIGNERS))
    say(f"the keys are in `{folder}`; set `INTERLOCK_KEYS` to each service's own folder there")
