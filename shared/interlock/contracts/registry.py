"""Every message by its wire type. Two messages under one type refuse to load."""

from collections.abc import Mapping
from types import MappingProxyType

from interlock.contracts import changes, outcomes, requests, upstream_events
from interlock.contracts.message import Fact


def _by_type(*messages: type[Fact]) -> Mapping[str, type[Fact]]:
    named = {message.type: message for message in messages}
    if len(named) != len(messages):
        raise TypeError("two messages share a wire type")
    return MappingProxyType(named)


MESSAGES = _by_type(
    requests.TaskSubmitted,
    requests.TaskAuthenticated,
    requests.CallAuthorized,
    requests.InputDenied,
    requests.AuthorizationExpired,
    requests.CancelRequested,
    requests.DeadlinePassed,
    outcomes.TaskAccepted,
    outcomes.TaskRefused,
    outcomes.TaskDenied,
    outcomes.TaskHeld,
    outcomes.TaskApproved,
    outcomes.TaskParked,
    outcomes.TaskStarted,
    outcomes.TaskProgressed,
    outcomes.TaskLogged,
    outcomes.TaskInputRequired,
    outcomes.TaskSucceeded,
    outcomes.TaskFailed,
    outcomes.TaskCancelled,
    outcomes.TaskUnknown,
    outcomes.TaskSettled,
    outcomes.DoorRefused,
    upstream_events.UpstreamListChanged,
    upstream_events.UpstreamResourceUpdated,
    changes.AgentRegistered,
    changes.AgentDisabled,
    changes.UserRegistered,
    changes.UserDisabled,
    changes.UserEnabled,
    changes.UserErased,
    changes.TenantCreated,
    changes.TenantDisabled,
    changes.TenantEnabled,
    changes.KeyCreated,
    changes.AccessRevoked,
    changes.IssuerTrusted,
    changes.SigningKeyRotated,
    changes.ServerRegistered,
    changes.ServerInspected,
    changes.ServerMoved,
    changes.LoginGranted,
    changes.LoginEnded,
    changes.ToolsetPublished,
    changes.ToolsetRetired,
    changes.PolicyPublished,
    changes.DeadLetterRedriven,
    changes.DeadLetterDropped,
)
