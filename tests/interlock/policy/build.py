"""Servers, tools and policy sets with sensible defaults, so a test names only what it is about."""

from typing import Any

from interlock.contracts.access import PermissionRecord, PolicySetRecord, PolicyText
from interlock.contracts.catalogue import (
    Environment,
    HttpConnection,
    Lifecycle,
    ServerRecord,
    ToolRecord,
)
from interlock.contracts.task import Principal, TaskKind, digest_of
from interlock.policy import Asker, Judgement, LoadedPolicies, Question, judge, load
from interlock.testing.build import NOON, principal

READ, EXPORT = "crm:read", "crm:export"


def tool(name: str = "export_customers", **changed: Any) -> ToolRecord:
    """A tool that requires `crm:export`."""
    values: dict[str, Any] = {"definition": "{}", "digest": digest_of(name)}
    return ToolRecord(name=name, **values | {"required_scopes": (EXPORT,)} | changed)


def server(*tools: ToolRecord, **changed: Any) -> ServerRecord:
    """A server in development that requires `crm:read`."""
    values: dict[str, Any] = {
        "tenant": "acme",
        "name": "crm",
        "capability": "customers",
        "owner_team": "sales",
        "technical_owner": "olga",
        "environment": Environment.DEVELOPMENT,
        "connection": HttpConnection(url="https://crm.example/mcp"),
        "lifecycle": Lifecycle.APPROVED_DEV,
        "required_scopes": (READ,),
        "tools": tools or (tool(),),
    }
    return ServerRecord(**values | changed)


def policy_set(
    text: str = "", given: tuple[str, ...] = (READ, EXPORT), approval: tuple[str, ...] = ()
) -> PolicySetRecord:
    """Version 1: one file `rules`, and what `sales-copilot` was given."""
    permission = PermissionRecord(agent="sales-copilot", permissions=given, with_approval=approval)
    return PolicySetRecord(
        tenant="acme",
        version=1,
        policies=(PolicyText(name="rules", text=text),),
        permissions=(permission,),
    )


def loaded(
    text: str = "", given: tuple[str, ...] = (READ, EXPORT), approval: tuple[str, ...] = ()
) -> LoadedPolicies:
    return load(policy_set(text, given, approval))


def question(
    arguments: str = "{}",
    *,
    at: ServerRecord | None = None,
    who: Principal | None = None,
    **asker: Any,
) -> Question:
    """A call of the first tool of `at` at noon."""
    found = at or server()
    return Question(
        Asker(who or principal(), **asker),
        TaskKind.CALL,
        found.name,
        found,
        found.tools[0],
        arguments,
        NOON,
    )


def judged(text: str = "", arguments: str = "{}", **changed: Any) -> Judgement:
    """What one file of policies says of a call by an agent that was given all it needs."""
    return judge(loaded(text), question(arguments, **changed))
