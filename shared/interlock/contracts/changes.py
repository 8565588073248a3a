"""What happens to published state: everything on `state.changed`."""

from interlock.contracts.catalogue import Lifecycle
from interlock.contracts.ids import Digest
from interlock.contracts.message import Fact
from interlock.contracts.task import Principal
from interlock.contracts.topics import Topic


class StateChanged(Fact):
    """Base of them all. `by` is who did it; `version` is the owner's, from its database."""

    topic = Topic.STATE_CHANGED

    by: Principal
    tenant: str
    name: str
    """What it is about: an agent's, server's, policy's or key's name."""
    version: int = 0

    @property
    def tenant_id(self) -> str:
        return self.tenant

    @property
    def subject(self) -> str:
        return self.name


class AgentRegistered(StateChanged):
    type = "interlock.agent.registered.v1"


class AgentDisabled(StateChanged):
    type = "interlock.agent.disabled.v1"


class UserRegistered(StateChanged):
    """A user is registered, or what is told of it changed."""

    type = "interlock.user.registered.v1"

    roles: tuple[str, ...] = ()


class UserDisabled(StateChanged):
    """All access of a user ended."""

    type = "interlock.user.disabled.v1"


class UserEnabled(StateChanged):
    type = "interlock.user.enabled.v1"


class UserErased(StateChanged):
    """What was told of a user is forgotten, its keys are revoked; its name is not used again."""

    type = "interlock.user.erased.v1"


class TenantCreated(StateChanged):
    type = "interlock.tenant.created.v1"


class TenantDisabled(StateChanged):
    """Nobody of the tenant is let in."""

    type = "interlock.tenant.disabled.v1"

    reason: str = ""


class TenantEnabled(StateChanged):
    """Who was let in before is let in again."""

    type = "interlock.tenant.enabled.v1"


class KeyCreated(StateChanged):
    """An API key was made for `principal`; its secret was shown once."""

    type = "interlock.key.created.v1"

    principal: Principal


class AccessRevoked(StateChanged):
    """Tokens or keys are refused from now on."""

    type = "interlock.access.revoked.v1"

    kind: str
    reason: str = ""


class IssuerTrusted(StateChanged):
    type = "interlock.issuer.trusted.v1"


class SigningKeyRotated(StateChanged):
    type = "interlock.signing_key.rotated.v1"


class ServerRegistered(StateChanged):
    type = "interlock.server.registered.v1"

    record_digest: Digest


class ServerInspected(StateChanged):
    """The tools that an upstream offers were read and pinned."""

    type = "interlock.server.inspected.v1"

    record_digest: Digest
    tools: tuple[str, ...] = ()


class ServerMoved(StateChanged):
    type = "interlock.server.moved.v1"

    was: Lifecycle
    now: Lifecycle
    reason: str = ""


class LoginGranted(StateChanged):
    """An upstream lets Interlock in from now on: as whom, and for what."""

    type = "interlock.login.granted.v1"

    grant: str
    """Of OAuth 2.1: `authorization_code` is a person's consent."""
    issuer: str
    """The authorization server."""
    scope: str = ""
    """That it gave, not that of any caller."""


class LoginEnded(StateChanged):
    """What an upstream let Interlock in with is forgotten."""

    type = "interlock.login.ended.v1"


class ToolsetPublished(StateChanged):
    """A curated set of tools is offered from now on."""

    type = "interlock.toolset.published.v1"

    record_digest: Digest
    tools: tuple[str, ...] = ()


class ToolsetRetired(StateChanged):
    """It is offered no longer."""

    type = "interlock.toolset.retired.v1"


class PolicyPublished(StateChanged):
    """A new policy set is in force; `record_digest` pins rules and permissions."""

    type = "interlock.policy.published.v1"

    record_digest: Digest


class DeadLetterRedriven(StateChanged):
    type = "interlock.dead_letter.redriven.v1"

    dead_topic: str


class DeadLetterDropped(StateChanged):
    type = "interlock.dead_letter.dropped.v1"

    dead_topic: str
