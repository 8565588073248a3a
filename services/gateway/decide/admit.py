"""Who may come in and what may go on to the bus."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from interlock.contracts.ids import TaskId, derived
from interlock.contracts.task import Principal, TaskKind
from interlock.errors import Refused
from interlock.identity.roles import Right, has
from interlock.identity.tokens import Caller
from services.gateway.model import Snapshot


def missing_token_scopes(caller: Caller, required: Sequence[str]) -> tuple[str, ...]:
    """What the token lacks of `required`. A token that names no scope at all restricts nothing:
    then what the principal may do is policy's matter alone. One that names any, be it `openid`
    alone, was narrowed to those."""
    said = {*caller.token_scopes}
    return tuple(sorted({*required} - said)) if said else ()


def readable(caller: Caller, snapshot: Snapshot) -> bool:
    """Its own tasks anybody may see; others of the tenant need the right."""
    principal = snapshot.task.principal
    if principal.tenant != caller.principal.tenant:
        return False
    return principal == caller.principal or has(caller, Right.TASKS_READ)


def cancellable(caller: Caller, snapshot: Snapshot) -> bool:
    """Its own tasks anybody may stop; others of the tenant need the right."""
    return snapshot.task.principal == caller.principal or has(caller, Right.TASKS_CANCEL)


def keyed_id(principal: Principal, key: str) -> TaskId:
    """The id of the task that an idempotency key stands for: the same key, the same task."""
    who = [principal.kind.value, principal.name, principal.user]
    return TaskId(derived(orjson.dumps(["key", principal.tenant, who, key]).decode()))


def feature_name(kind: TaskKind, arguments: Mapping[str, Any]) -> str:
    """What a read, a prompt or a completion names; `Refused` (`invalid`) where it does not."""
    found: object = arguments
    path = ["uri"] if kind is TaskKind.READ else ["name"]
    if kind is TaskKind.COMPLETE:
        ref = arguments.get("ref")
        prompt = isinstance(ref, dict) and ref.get("type") == "ref/prompt"
        path = ["ref", "name" if prompt else "uri"]
    for step in path:
        found = found.get(step) if isinstance(found, Mapping) else None
    if not isinstance(found, str) or not found:
        at = "/".join(["/arguments", *path])
        raise Refused(
            f"a `{kind}` names what it is about at `{at}`",
            code="invalid",
            data={"violations": [{"at": at, "what": "a text is required"}]},
        )
    return found
