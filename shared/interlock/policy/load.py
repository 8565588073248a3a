"""From policy texts to something that judges: parsed once, validated, each fault with its place."""

import re
from collections.abc import Iterable
from functools import lru_cache
from importlib.resources import files

from cedarpy import PolicySet, Schema, policies_to_pst, pst, validate_policies

from interlock.contracts.access import PolicySetRecord, PolicyText
from interlock.contracts.ids import PolicyId
from interlock.errors import Refused
from interlock.policy.loaded import LoadedPolicies
from interlock.policy.model import CONTEXT, Rule
from interlock.policy.shapes import ARGUMENTS, INPUT, Contradiction, looked_at, type_read
from interlock.policy.source import Fault, Statement, statements

BUILTIN = "builtin/"
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
ROLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]*")


def load(record: PolicySetRecord) -> LoadedPolicies:
    """The set, beside the built-in policies.

    Raises `Refused` (`invalid_policy`) naming file, line and column; `data["faults"]` has them all.
    """
    rules, policies = _read((*builtin_policies(), *record.policies))
    nodes = pst.PolicySet(templates={}, static_policies=policies, template_links=())
    return LoadedPolicies(
        tenant=record.tenant,
        version=record.version,
        rules=rules,
        policies=PolicySet.from_pst(nodes),
        permissions={one.agent: one for one in record.permissions},
        looked_at=frozenset[str]().union(*(rule.looks_at for rule in rules.values())),
    )


@lru_cache(maxsize=1)
def builtin_policies() -> tuple[PolicyText, ...]:
    """The policies that come with Interlock, in force for every tenant."""
    folder = files("interlock.policy") / "builtin"
    found = sorted(folder.iterdir(), key=lambda file: file.name)
    return tuple(
        PolicyText(name=BUILTIN + file.name.removesuffix(".cedar"), text=file.read_text("utf-8"))
        for file in found
        if file.name.endswith(".cedar")
    )


def _read(
    texts: Iterable[PolicyText],
) -> tuple[dict[PolicyId, Rule], dict[str, pst.Template]]:
    rules: dict[PolicyId, Rule] = {}
    policies: dict[str, pst.Template] = {}
    faults: list[Fault] = []
    for text in texts:
        for number, statement in enumerate(statements(f"{text.name}.cedar", text.text), 1):
            try:
                rule, policy = _statement(statement, f"{text.name}#{number}")
                if rule.id in rules:
                    raise statement.fault(
                        f"policy `{rule.id}` is there already, at `{rules[rule.id].place}`"
                    )
            except Fault as fault:
                faults.append(fault)
                continue
            rules[rule.id] = rule
            policies[rule.id] = policy
    if faults:
        raise _refused(faults)
    return rules, policies


@lru_cache(maxsize=512)
def _statement(statement: Statement, default_id: str) -> tuple[Rule, pst.Template]:
    """Pure, and dear: of a set that changes, only what changed is read again."""
    try:
        parsed = policies_to_pst(statement.text)
    except ValueError as error:
        raise statement.syntax_fault(str(error), policies_to_pst) from None
    if parsed.templates:
        raise statement.fault("templates are not used here: name a principal and a resource")
    (policy,) = parsed.static_policies.values()
    _validate(statement, policy)
    rule = _rule(statement, policy, PolicyId(policy.annotations.get("id") or default_id))
    policy = pst.Template(
        id=rule.id,
        effect=policy.effect,
        principal=policy.principal,
        action=policy.action,
        resource=policy.resource,
        clauses=policy.clauses,
        annotations=policy.annotations,
    )
    return rule, policy


def _validate(statement: Statement, policy: pst.Template) -> None:
    try:
        schema = _schema(type_read(policy, ARGUMENTS), type_read(policy, INPUT))
    except Contradiction as error:
        raise statement.fault(str(error)) from None
    for found in validate_policies(statement.text, schema).errors:
        message = re.sub(r"^for policy `[^`]*`, ", "", found.error)
        if "optional attribute" in message:
            message += "; ask first whether it is there: `context.arguments has … && …`"
        raise statement.fault(message)


@lru_cache(maxsize=256)
def _schema(arguments: str, given: str) -> Schema:
    text = (files("interlock.policy") / "interlock.cedarschema").read_text("utf-8")
    text = text.replace("type Arguments = {};", f"type Arguments = {arguments};")
    return Schema.from_str(text.replace("type Input = {};", f"type Input = {given};"))


def _rule(statement: Statement, policy: pst.Template, rule_id: PolicyId) -> Rule:
    said = policy.annotations
    own = statement.file.startswith(BUILTIN)
    if rule_id.startswith(BUILTIN) and not own:
        raise statement.fault(f"the id of policy `{rule_id}` is kept for Interlock's own policies")
    looks_at = looked_at(policy)
    looks_at = CONTEXT if looks_at is None else looks_at
    for name in ("approvers", "expires"):
        if name in said and "approved" not in looks_at:
            raise statement.fault(
                f"the policy holds nothing, so `{name}` has no meaning: read `context.approved`"
            )
    return Rule(
        id=rule_id,
        forbids=policy.effect == "forbid",
        reason=said.get("reason", "").strip(),
        approvers=_approvers(statement, said.get("approvers")),
        hold_seconds=_seconds(statement, said.get("expires")),
        looks_at=looks_at,
        place=str(statement.start),
    )


def _approvers(statement: Statement, text: str | None) -> tuple[str, ...]:
    if text is None:
        return ()
    roles = tuple(sorted({one.strip() for one in text.split(",")}))
    for role in roles:
        if not ROLE.fullmatch(role):
            raise statement.fault(f"`approvers` has `{role}`; write roles: `role-one, role-two`")
    return roles


def _seconds(statement: Statement, text: str | None) -> int | None:
    if text is None:
        return None
    parts = re.fullmatch(r"([1-9]\d{0,5})([smhd])", text.strip())
    if parts is None:
        raise statement.fault(f"`expires` has `{text}`; write a time as `90s`, `15m`, `4h` or `1d`")
    return int(parts[1]) * SECONDS[parts[2]]


def _refused(faults: list[Fault]) -> Refused:
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    told = [
        {
            "file": fault.place.file,
            "line": fault.place.line,
            "column": fault.place.column,
            "message": fault.message,
        }
        for fault in faults
    ]
    return Refused(f"policy {faults[0]}{more}", code="invalid_policy", data={"faults": told})
