"""Roles give rights; a refusal names the roles that would."""

from dataclasses import dataclass

import pytest

from interlock.errors import Refused
from interlock.identity.roles import RIGHTS, Right, has, require


@dataclass(frozen=True)
class Holder:
    roles: tuple[str, ...]


def test_any_of_several_roles_is_enough() -> None:
    require(Holder(("agent", "approver")), Right.APPROVALS_DECIDE)


@pytest.mark.parametrize("roles", [(), ("agent",), ("emperor",), ("operator", "owner")])
def test_a_refusal_names_the_roles_that_would_do(roles: tuple[str, ...]) -> None:
    with pytest.raises(Refused, match="`admin`, `approver`") as refused:
        require(Holder(roles), Right.APPROVALS_DECIDE)
    assert refused.value.code == "forbidden"
    assert refused.value.data["roles"] == ["admin", "approver"]


def test_an_admin_has_every_right_and_every_right_has_a_holder() -> None:
    assert RIGHTS["admin"] == {*Right}


@pytest.mark.parametrize("right", [Right.KEYS_WRITE, Right.AUDIT_READ, Right.TASKS_READ])
def test_an_agent_has_no_right_over_others(right: Right) -> None:
    assert not has(Holder(("agent",)), right)


def test_whoever_runs_the_suite_does_not_approve_calls() -> None:
    assert not has(Holder(("operator",)), Right.APPROVALS_DECIDE)
