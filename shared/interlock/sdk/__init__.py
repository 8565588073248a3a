"""For agents: ask for tasks and await their outcomes, over HTTP or straight on the bus.

Names of the bus are imported when somebody asks for one (PEP 562): with them come all clients of
brokers, which take three times as long as HTTP's, and most programs and commands need only that.
"""

from typing import TYPE_CHECKING

from interlock.lazily import from_modules
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

__getattr__ = from_modules(__name__, {"AgentKey": "bus", "BusAgent": "bus", "Submission": "bus"})
