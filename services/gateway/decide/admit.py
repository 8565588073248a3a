"""Who may come in and what may go on to the bus."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from jsonschema.exceptions import SchemaError
from jsonschema.protocols import Validator
from jsonschema.validators import Draft202012Validator, validator_for
from referencing import Registry
from referencing.exceptions import Unresolvable

from interlock.contracts.ids import TaskId, derived
from interlock.contracts.task import Principal, TaskKind
from interlock.errors import Refused
from interlock.identity.roles import Right, has
from interlock.identity.tokens import Caller
from services.gateway.model import Offer, Snapshot

MOST_VIOLATIONS = 100
UNRELATED = frozenset({"openid", "profile", "email", "address", "phone", "offline_access", "roles"})
"""Scopes that issuers put into every token; they are about the person, not about tools."""


def missing_token_scopes(caller: Caller, required: Sequence[str]) -> tuple[str, ...]:
    """What the token lacks of `required`. A token that names no scope of tools restricts nothing:
    then what the principal may do is policy's matter alone."""
    said = {*caller.token_scopes} - UNRELATED
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


def validator_of(definition: Mapping[str, Any]) -> Validator | None:
    """A validator for a tool's `inputSchema` (JSON Schema 2020-12 where it names no other).

    None where the schema itself is not valid: then the upstream alone can judge. A `$ref` that
    leads out of the schema is never fetched.
    """
    schema = definition.get("inputSchema")
    if not isinstance(schema, dict) or not isinstance(schema.get("$schema", ""), str):
        return None
    try:
        kind = validator_for(schema, default=Draft202012Validator)
        kind.check_schema(schema)
    except (SchemaError, RecursionError, ValueError):  # `$schema` may be no URL, or all too deep
        return None
    return kind(schema, registry=Registry())


def require_valid(validator: Validator | None, arguments: Mapping[str, Any], offer: Offer) -> None:
    """`Refused` (`invalid`) unless the arguments fit; `data` names every violation.

    The sentence holds no values: it goes into the ledger.
    """
    found = _violations(validator, arguments) if validator is not None else []
    if found:
        places = ", ".join(dict.fromkeys(f"`{one['at']}`" for one in found))
        raise Refused(
            f"the arguments violate the schema of tool `{offer.tool.name}` of server "
            f"`{offer.server.name}` at {places}",
            code="invalid",
            data={"violations": found},
        )


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


def _violations(validator: Validator, arguments: Mapping[str, Any]) -> list[dict[str, str]]:
    found = []
    try:
        for error in validator.iter_errors(arguments):
            at = "".join(f"/{_escaped(step)}" for step in error.absolute_path)
            found.append({"at": at or "/", "what": error.message[:500]})
            if len(found) == MOST_VIOLATIONS:
                break
    except Unresolvable:
        return []
    except (RecursionError, OverflowError):  # unchecked is not valid
        found.append({"at": "/", "what": "too deep, or a number too large, to be checked"})
    return sorted(found, key=lambda one: (one["at"], one["what"]))


def _escaped(step: str | int) -> str:
    """A reference token of a JSON Pointer (RFC 6901 §3)."""
    return str(step).replace("~", "~0").replace("/", "~1")
