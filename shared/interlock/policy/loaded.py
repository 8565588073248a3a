"""A tenant's rules and permissions, ready to judge with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson
from cedarpy import Entities, PolicySet

from interlock.contracts.access import PermissionRecord, PolicySetRecord
from interlock.contracts.catalogue import ServerRecord, ToolRecord
from interlock.contracts.ids import PolicyId
from interlock.contracts.task import PrincipalKind
from interlock.policy.model import Asker, Question, Rule
from interlock.policy.targets import Target

KEPT_ENTITIES = 4096
KEPT_ANSWERS = 8
"""To each pair of who asks and of what. Answers to longer contexts are not kept at all."""
LONGEST_KEPT = 1000
NOTHING = PermissionRecord(agent="")


class Answer(NamedTuple):
    """What Cedar says of one request."""

    allowed: bool
    representable: bool
    because: tuple[PolicyId, ...]
    errors: tuple[str, ...]


class Parties(NamedTuple):
    """Who asks and of what, as Cedar sees both, and its answers to what they asked before."""

    server: ServerRecord | None
    tool: ToolRecord | None
    entities: Entities
    answers: dict[tuple[str, str], Answer]
    """By action and context: all else of a request is the same."""

    def remember(self, action: str, context: str, answer: Answer) -> None:
        if len(context) > LONGEST_KEPT:
            return
        if len(self.answers) >= KEPT_ANSWERS:
            self.answers.clear()
        self.answers[action, context] = answer


@dataclass(frozen=True, eq=False)
class LoadedPolicies:
    """One version of a tenant's policy set, parsed and validated."""

    tenant: str
    version: int
    rules: Mapping[PolicyId, Rule]
    policies: PolicySet = field(repr=False)
    permissions: Mapping[str, PermissionRecord]
    looked_at: frozenset[str]
    """The attributes of the context that any rule reads: what none does makes no difference."""
    _kept: dict[tuple[Any, ...], Parties] = field(default_factory=dict, repr=False)

    def given(self, asker: Asker) -> PermissionRecord:
        """What the asker was given: permissions are an agent's, nobody else has any."""
        if asker.principal.kind is not PrincipalKind.AGENT:
            return NOTHING
        return self.permissions.get(asker.principal.name, NOTHING)

    def parties(self, question: Question, target: Target) -> Parties:
        """Kept until one of the two changes."""
        asker = question.asker
        key = (
            asker.principal.kind,
            asker.principal.name,
            asker.principal.user,
            asker.roles,
            asker.groups,
            question.server_name,
            target.kind,
            target.id,
        )
        kept = self._kept.get(key)
        if kept and kept.server is question.server and kept.tool is question.tool:
            return kept
        if len(self._kept) >= KEPT_ENTITIES:
            self._kept.clear()
        entities = _entities(question, target, self.given(asker))
        made = self._kept[key] = Parties(question.server, question.tool, entities, {})
        return made


class PolicySets:
    """Loads each version of a tenant's set once."""

    def __init__(self, load: Callable[[PolicySetRecord], LoadedPolicies]) -> None:
        self._load = load
        self._loaded: dict[str, tuple[PolicySetRecord, LoadedPolicies]] = {}

    def of(self, tenant: str, record: PolicySetRecord | None) -> LoadedPolicies:
        """The tenant's set; the built-in policies alone where it has none.

        Raises `Refused` (`invalid_policy`) where the set cannot be loaded.
        """
        last = self._loaded.get(tenant)
        if last and (last[0] is record or (record is None and last[0].version == 0)):
            return last[1]
        wanted = record or PolicySetRecord(tenant=tenant, version=0)
        loaded = self._load(wanted)
        self._loaded[tenant] = (wanted, loaded)
        return loaded


def _entities(question: Question, target: Target, given: PermissionRecord) -> Entities:
    parents = [{"type": "Server", "id": question.server_name}]
    server = question.server
    shown = [_principal(question.asker, given)]
    shown.append(_entity("Server", question.server_name, _server(server) if server else {}))
    if server is not None and target.kind != "Server":
        attributes = _feature(server, target.name)
        if question.tool is not None:
            attributes |= _tool(server, question.tool)
        shown.append(_entity(target.kind, target.id, attributes) | {"parents": parents})
    return Entities.from_json_str(orjson.dumps(shown).decode())


def _principal(asker: Asker, given: PermissionRecord) -> dict[str, Any]:
    principal = asker.principal
    user = {"user": principal.user} if principal.user is not None else {}
    attributes = {
        "name": principal.name,
        "permissions": given.permissions,
        "permissionsWithApproval": (*given.permissions, *given.with_approval),
        "roles": asker.roles,
        "groups": asker.groups,
    }
    return _entity(entity_type(principal.kind), principal.name, attributes | user)


def _server(server: ServerRecord) -> dict[str, Any]:
    return {
        "name": server.name,
        "environment": server.environment,
        "lifecycle": server.lifecycle,
        "callable": server.lifecycle.callable,
        "risk": server.risk,
        "dataClass": server.data_class,
        "tags": server.tags,
        "requiredScopes": server.required_scopes,
        "owner": server.owner_team,
    }


def _feature(server: ServerRecord, name: str) -> dict[str, Any]:
    """A resource or a prompt: nothing about it is its own but its name."""
    own = {"name": name, "server": server.name, "readOnly": True, "repeatable": True}
    return _server(server) | own


def _tool(server: ServerRecord, tool: ToolRecord) -> dict[str, Any]:
    return {
        "risk": tool.risk or server.risk,
        "requiredScopes": server.scopes_for(tool),
        "readOnly": tool.read_only,
        "repeatable": tool.repeatable,
    }


def entity_type(kind: PrincipalKind) -> str:
    """`Agent`, `Person` or `Service`."""
    return kind.value.capitalize()


def _entity(kind: str, name: str, attributes: dict[str, Any]) -> dict[str, Any]:
    return {"uid": {"type": kind, "id": name}, "attrs": attributes, "parents": []}
