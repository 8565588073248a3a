"""For agents: ask for tasks and await their outcomes, over HTTP or straight on the bus."""

from interlock.identity.submissions import AgentKey
from interlock.sdk.bus import BusAgent, Submission
from interlock.sdk.client import Interlock, TaskHandle
from interlock.sdk.credentials import ApiKey, ClientCredentials
from interlock.sdk.task import Event, Outcome

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
