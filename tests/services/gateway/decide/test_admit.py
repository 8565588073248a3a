"""Who may come in, and with which arguments."""

from typing import Any

import pytest

from interlock.contracts.task import Principal, PrincipalKind
from interlock.identity.tokens import Caller
from interlock.testing import build
from services.gateway.decide import admit, merge


def caller(principal: Principal | None = None, **more: Any) -> Caller:
    values: dict[str, Any] = {
        "principal": principal or build.principal(),
        "token_scopes": (),
        "roles": ("agent",),
        "groups": (),
        "token_id": "t",
        "issued_at": None,
        "expires_at": None,
        "how": "key",
    }
    return Caller(**values | more)


@pytest.mark.parametrize(
    ("said", "missing"),
    [
        ((), ()),
        (("openid", "profile"), ("crm:read", "crm:write")),
        (("crm:read",), ("crm:write",)),
        (("crm:read", "crm:write"), ()),
        (("openid", "mail"), ("crm:read", "crm:write")),
    ],
)
def test_a_token_that_names_any_scope_is_narrowed_to_those_that_it_names(
    said: tuple[str, ...], missing: tuple[str, ...]
) -> None:
    asks = caller(token_scopes=said)
    assert admit.missing_token_scopes(asks, ["crm:write", "crm:read"]) == missing


def test_a_task_is_seen_by_its_principal_and_by_roles_that_watch() -> None:
    snapshot = merge.accepted(build.task(), build.NOON)
    other, foreign = build.principal("other"), build.principal(tenant="evil")
    assert admit.readable(caller(), snapshot)
    assert not admit.readable(caller(other), snapshot)
    assert admit.readable(caller(other, roles=("auditor",)), snapshot)
    assert not admit.readable(caller(foreign, roles=("admin",)), snapshot)
    assert not admit.readable(caller(build.principal(user="ana")), snapshot)


def test_a_key_is_one_task_per_principal() -> None:
    agent, for_ana = build.principal(), build.principal(user="ana")
    assert admit.keyed_id(agent, "k") == admit.keyed_id(build.principal(), "k")
    assert len({admit.keyed_id(who, k) for who in (agent, for_ana) for k in ("k", "l")}) == 4
    odd = Principal(tenant="acme", kind=PrincipalKind.AGENT, name='a"],"', user=None)
    assert admit.keyed_id(odd, "k") != admit.keyed_id(agent, "k")
