"""For agents: ask for tasks and await their outcomes, over HTTP or straight on the bus.

Names of the bus are imported when somebody asks for one (PEP 562): with them come all clients of
brokers, which take three times as long as HTTP's, and most programs and commands need only that.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from interlock.sdk.client import Interlock, TaskHandle
from interlock.sdk.credentials import ApiKey, ClientCredentials
from interlock.sdk.task import Event, Outcome

if TYPE_CHECKING:
    from interlock.identity.submissions import AgentKey
    from interlock.sdk.bus import BusAgent, Submission

__all__ = [
    "AgentKey",
    "ApiKey",
    "BusAgent",
    "ClientCredentials",
    "Event",
    "Interlock",
    "Outcome",
    "Submission",
    "TaskHandle",
]


def __getattr__(name: str) -> Any:
    if name not in ("AgentKey", "BusAgent", "Submission"):
        raise AttributeError(f"module `{__name__}` has no attribute `{name}`")
    return getattr(import_module("interlock.sdk.bus"), name)
