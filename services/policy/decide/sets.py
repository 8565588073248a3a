"""How a policy set changes."""

import re
from collections.abc import Mapping, Sequence

from interlock.contracts.access import PermissionRecord, PolicySetRecord, PolicyText
from interlock.contracts.ids import NAME
from interlock.errors import Refused


def with_policy(record: PolicySetRecord, name: str, text: str) -> PolicySetRecord:
    """The set with this policy in place of one of its name."""
    return with_policies(record, {name: text}, ())


def without_policy(record: PolicySetRecord, name: str) -> PolicySetRecord:
    """The set without it; `Refused` (`not_found`) where it is not there."""
    if all(policy.name != name for policy in record.policies):
        known = ", ".join(f"`{policy.name}`" for policy in record.policies) or "none"
        raise Refused(f"there is no policy `{name}`; there are {known}", code="not_found")
    return with_policies(record, {}, {name})


def with_policies(
    record: PolicySetRecord, texts: Mapping[str, str], gone: Sequence[str] | set[str]
) -> PolicySetRecord:
    """The set with `texts` by name, and without `gone`; policies are kept in order of names."""
    all_texts = {one.name: one.text for one in record.policies if one.name not in gone}
    all_texts.update(texts)
    policies = tuple(PolicyText(name=name, text=text) for name, text in sorted(all_texts.items()))
    return record.model_copy(update={"policies": policies})


def with_permissions(
    record: PolicySetRecord, agent: str, permissions: Sequence[str], approval: Sequence[str]
) -> PolicySetRecord:
    """The set with what `agent` was given; nothing at all takes its entry away."""
    others = {one.agent: one for one in record.permissions if one.agent != agent}
    if permissions or approval:
        others[agent] = PermissionRecord(
            agent=agent,
            permissions=tuple(sorted(set(permissions))),
            with_approval=tuple(sorted(set(approval) - set(permissions))),
        )
    entries = tuple(others[name] for name in sorted(others))
    return record.model_copy(update={"permissions": entries})


def require_name(what: str, name: str) -> None:
    """`Refused` (`invalid`) for a name that a policy or an agent cannot have."""
    if not re.fullmatch(NAME, name):
        raise Refused(
            f"`{name}` cannot name this {what}: use lower-case letters, digits and hyphens, "
            "at most 64",
            code="invalid",
        )


def require_own(name: str, from_folder: Sequence[str]) -> None:
    """`Refused` (`conflict`) for a policy that the operator's folder owns."""
    if name in from_folder:
        raise Refused(
            f"policy `{name}` comes from the operator's folder; change its file and restart",
            code="conflict",
        )
