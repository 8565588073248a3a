"""What people give to each other, and to whom."""

from collections.abc import Iterable, Sequence

from interlock.contracts.access import ApiKeyRecord, UserRecord
from interlock.contracts.task import Principal, PrincipalKind
from interlock.errors import Refused
from interlock.identity.roles import DEFAULT_TENANT, RIGHTS


def require_may_give(roles: Sequence[str], giver: Sequence[str]) -> None:
    """`Refused` for a role that does not exist, or that gives a right which the giver lacks."""
    unknown = [role for role in roles if role not in RIGHTS]
    if unknown:
        raise Refused(
            f"there is no role `{unknown[0]}`; there are "
            + ", ".join(f"`{role}`" for role in RIGHTS),
            code="invalid",
        )
    own = frozenset[str]().union(*(RIGHTS.get(role, frozenset()) for role in giver))
    for role in roles:
        if not RIGHTS[role] <= own:
            raise Refused(
                f"role `{role}` gives rights that you do not have; ask an `admin`", code="forbidden"
            )


def key_to_bind(thumbprints: Sequence[str], wanted: str | None) -> str:
    """The key that a delegation is bound to: the one named, or the only one there is."""
    if wanted is None and len(thumbprints) == 1:
        return thumbprints[0]
    if wanted is None or wanted not in thumbprints:
        raise Refused(
            "name the `key` (its thumbprint) to which the delegation is bound; the agent has "
            + (", ".join(f"`{one}`" for one in thumbprints) or "none"),
            code="invalid",
        )
    return wanted


# -- users and tenants ----------------------------------------------------------------------------


def require_another(by: Principal, name: str) -> None:
    """`Refused` where somebody would shut themselves out."""
    if by.kind is PrincipalKind.PERSON and by.name == name:
        raise Refused(f"you are `{name}`; somebody else has to do that", code="conflict")


def require_keys_fit(name: str, roles: Sequence[str], keys: Iterable[ApiKeyRecord]) -> None:
    """`Refused` where a new user would not have what keys under its name say already."""
    for key in keys:
        who, beyond = key.principal, sorted({*key.roles} - {*roles})
        if (who.kind, who.name) == (PrincipalKind.PERSON, name) and beyond:
            raise Refused(
                f"API key `{key.key_id}` of `{name}` has role `{beyond[0]}`; give the user that "
                "role, or revoke the key first",
                code="conflict",
            )


def require_may_have_key(user: UserRecord | None, roles: Sequence[str]) -> None:
    """`Refused` unless an API key with `roles` may be a person's; one whom no user is may have
    any."""
    if user is None:
        return
    require_enabled(user)
    beyond = sorted({*roles} - {*user.roles})
    if beyond:
        raise Refused(
            f"user `{user.name}` has no role `{beyond[0]}`, so a key of theirs cannot have it; "
            "give it to the user first",
            code="conflict",
        )


def require_enabled(user: UserRecord | None) -> None:
    """`Refused` for a user that is disabled."""
    if user is not None and not user.enabled:
        raise Refused(f"user `{user.name}` is disabled", code="disabled_user")


def require_may_introspect(tenant: str, tokens: str) -> None:
    """`Refused` where an issuer would be shown tokens that may be another tenant's: opaque ones do
    not say whose they are."""
    if tenant != DEFAULT_TENANT and tokens != "every":
        raise Refused(
            f"opaque tokens are shown to issuers of tenant `{DEFAULT_TENANT}` only; ask about "
            "`every` JWT instead",
            code="forbidden",
        )


def require_may_be_disabled(tenant: str) -> None:
    """`Refused` for the tenant whose people run the suite."""
    if tenant == DEFAULT_TENANT:
        raise Refused(f"tenant `{tenant}` runs the suite and stays enabled", code="conflict")
