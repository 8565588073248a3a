"""Judging: deny by default, forbid wins, an error denies, an approval lifts a hold."""

from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.contracts.catalogue import Environment, Lifecycle, Risk
from interlock.contracts.task import PrincipalKind, TaskKind
from interlock.policy import Asker, Question, Verdict, judge, may_see
from interlock.testing.build import NOON, person, principal
from tests.interlock.policy.build import (
    EXPORT,
    READ,
    judged,
    loaded,
    policy_set,
    question,
    server,
    tool,
)

BIG = """
@id("big-export") @reason("more than 10000 rows") @approvers("sales-manager") @expires("15m")
forbid (principal, action == Action::"call", resource == Tool::"crm__export_customers")
when { context.arguments has rows && context.arguments.rows > 10000 }
unless { context.approved };
"""


def test_the_permissions_that_a_tool_requires_suffice() -> None:
    judgement = judged()
    assert judgement.verdict is Verdict.ALLOW
    assert judgement.because == ("builtin/permitted-scopes",)
    assert judgement.policy_version == 1


@pytest.mark.parametrize(
    ("given", "missing", "text"),
    [
        ((READ,), (EXPORT,), "permission `crm:export`, which tool"),
        ((EXPORT,), (READ,), "permission `crm:read`, which tool"),
        ((), (EXPORT, READ), "permissions `crm:export` and `crm:read`, which tool"),
    ],
)
def test_a_denial_names_the_permissions_that_are_missing(
    given: tuple[str, ...], missing: tuple[str, ...], text: str
) -> None:
    judgement = judge(loaded("", given), question())
    assert (judgement.verdict, judgement.code) == (Verdict.DENY, "denied")
    assert (judgement.because, judgement.missing) == ((), missing)
    assert judgement.reason == (
        f"`sales-copilot` lacks {text} `export_customers` of server `crm` requires"
    )


def test_one_forbid_outweighs_every_permit() -> None:
    forbid = '@id("no-exports") @reason("exports are closed") forbid (principal, action, resource);'
    judgement = judged(f"permit (principal, action, resource); {forbid}")
    assert (judgement.verdict, judgement.because) == (Verdict.DENY, ("no-exports",))
    assert judgement.reason == "exports are closed"


def test_permissions_are_an_agents_not_of_a_person_of_the_same_name() -> None:
    namesake = person("sales-copilot")
    assert judged(who=namesake).missing == (EXPORT, READ)
    by_role = (
        'permit (principal is Person, action, resource) when { principal.roles.contains("x")};'
    )
    assert judged(by_role, who=namesake, roles=("x",)).verdict is Verdict.ALLOW


@pytest.mark.parametrize("state", Lifecycle)
def test_only_a_server_whose_lifecycle_allows_it_is_called(state: Lifecycle) -> None:
    judgement = judged(at=server(lifecycle=state))
    assert (judgement.verdict is Verdict.ALLOW) is state.callable
    assert state.callable or f"the server is `{state}`" in judgement.reason


def test_a_production_server_approved_for_development_is_not_called() -> None:
    judgement = judged(at=server(environment=Environment.PRODUCTION))
    assert judgement.because == ("builtin/approved-for-production",)
    assert (
        judged(
            at=server(environment=Environment.PRODUCTION, lifecycle=Lifecycle.APPROVED_PRODUCTION)
        ).verdict
        is Verdict.ALLOW
    )


def test_a_permission_with_approval_holds() -> None:
    judgement = judge(loaded("", (READ,), (EXPORT,)), question())
    assert judgement.verdict is Verdict.HOLD
    assert judgement.because == ("builtin/scopes-with-approval",)
    assert (judgement.approvers, judgement.hold_seconds) == ((), None)


@pytest.mark.parametrize(
    ("of_server", "of_tool", "held"),
    [
        (Risk.HIGH, None, True),
        (Risk.LOW, Risk.HIGH, True),
        (Risk.HIGH, Risk.LOW, False),
        (Risk.MEDIUM, None, False),
    ],
)
def test_a_high_risk_tool_holds(of_server: Risk, of_tool: Risk | None, held: bool) -> None:
    judgement = judged(at=server(tool(risk=of_tool), risk=of_server))
    assert judgement.verdict is (Verdict.HOLD if held else Verdict.ALLOW)
    assert ("builtin/high-risk" in judgement.because) is held


def test_a_rule_that_reads_the_approval_holds_and_says_for_whom_and_how_long() -> None:
    assert judged(BIG, '{"rows":10000}').verdict is Verdict.ALLOW
    judgement = judged(BIG, '{"rows":10001}')
    assert (judgement.verdict, judgement.because) == (Verdict.HOLD, ("big-export",))
    assert judgement.reason == "more than 10000 rows"
    assert (judgement.approvers, judgement.hold_seconds) == (("sales-manager",), 900)


def test_a_hold_names_lifted_forbids_and_permits_that_only_an_approval_gives() -> None:
    both = judge(loaded(BIG, (READ,), (EXPORT,)), question('{"rows":10001}'))
    assert both.because == ("big-export", "builtin/scopes-with-approval")
    assert judged(BIG, '{"rows":10001}').because == ("big-export",)


def test_what_an_approval_cannot_lift_is_denied_and_named() -> None:
    judgement = judge(loaded(BIG, ()), question('{"rows":10001}'))
    assert judgement.verdict is Verdict.DENY
    assert judgement.missing == (EXPORT, READ)


def test_several_rules_hold_for_the_roles_that_all_of_them_name() -> None:
    rule = '@approvers("%s") @expires("%s") forbid (principal, action, resource) '
    rule += "unless { context.approved };"
    one, other = rule % ("cfo, sales-manager", "2h"), rule % ("cfo,cto", "30m")
    judgement = judged(one + other, at=server(risk=Risk.HIGH))
    assert (judgement.approvers, judgement.hold_seconds) == (("cfo",), 1800)
    stuck = judged(one + rule % ("cto", "30m"))
    assert (stuck.verdict, stuck.code) == (Verdict.DENY, "no_common_approver")


def test_a_forbid_that_errs_denies_though_cedar_skips_it() -> None:
    judgement = judged(BIG, '{"rows":"all"}')
    assert (judgement.verdict, judgement.code) == (Verdict.DENY, "evaluation_error")
    assert judgement.because == ("big-export",)
    assert "expected long, got string" in judgement.reason
    assert len(judgement.errors) == 1


def test_a_permit_that_errs_denies_though_another_permits() -> None:
    sum_up = """permit (principal, action == Action::"call", resource)
    when { context.arguments has rows && context.arguments.rows + 1 > 0 };"""
    assert judged(sum_up, '{"rows":1}').verdict is Verdict.ALLOW
    assert judged(sum_up, '{"rows":9223372036854775807}').code == "evaluation_error"


@pytest.mark.parametrize("number", ["9223372036854775808", "1e3", "0.12345", "10000.5"])
def test_a_number_that_is_no_long_denies_where_a_rule_compares_it(number: str) -> None:
    assert judged(BIG, f'{{"rows":{number}}}').code == "evaluation_error"
    assert judged(BIG, f'{{"other":{number}}}').verdict is Verdict.ALLOW


@pytest.mark.parametrize(
    "arguments",
    ["[]", "{", "7", '{"a":1,"a":2}', '{"a":NaN}', '{"a":"\\ud800"}', "null", ""]
    + ['{"a":' + "[" * n + "]" * n + "}" for n in (200, 100_000)],
)
def test_arguments_that_cedar_cannot_take_are_denied(arguments: str) -> None:
    judgement = judged("", arguments)
    assert (judgement.verdict, judgement.code) == (Verdict.DENY, "unrepresentable")


def test_a_rule_may_ask_for_the_time() -> None:
    rule = """@id("office-hours") forbid (principal, action, resource)
    when { context.now.toTime() < duration("%s") };"""
    assert judged(rule % "12h").verdict is Verdict.ALLOW
    assert judged(rule % "12h1ms").because == ("office-hours",)


def test_a_rule_may_ask_for_the_user_the_roles_and_the_token() -> None:
    rule = """forbid (principal, action, resource) unless {
        principal has user && principal.user == "ana" && principal.groups.contains("emea")
        && context.tokenScopes.contains("crm:read") && resource in Server::"crm" };"""
    right: dict[str, Any] = {"groups": ("emea",), "token_scopes": ("crm:read",)}
    assert judged(rule, who=principal(user="ana"), **right).verdict is Verdict.ALLOW
    assert judged(rule, who=principal(), **right).verdict is Verdict.DENY
    assert judged(rule, who=principal(user="ana")).verdict is Verdict.DENY


@pytest.mark.parametrize("known", [True, False])
def test_the_registry_may_inspect_and_nobody_else(known: bool) -> None:
    found = server() if known else None
    judgements = {
        who.name: judge(
            loaded(),
            Question(Asker(who), TaskKind.INSPECT, "crm", found, None, '{"url":"x"}', NOON),
        ).verdict
        for who in (
            principal("registry", PrincipalKind.SERVICE, user="olga"),
            principal("audit", PrincipalKind.SERVICE),
            principal(),
        )
    }
    assert judgements == {
        "registry": Verdict.ALLOW,
        "audit": Verdict.DENY,
        "sales-copilot": Verdict.DENY,
    }


def test_a_changed_record_is_judged_anew() -> None:
    policies = loaded("", (READ,))
    assert judge(policies, question()).verdict is Verdict.DENY
    cheaper = server(tool(required_scopes=()))
    assert judge(policies, question(at=cheaper)).verdict is Verdict.ALLOW
    assert judge(policies, question()).verdict is Verdict.DENY


# -- lists ----------------------------------------------------------------------------------------


def sees(text: str = "", given: tuple[str, ...] = (READ, EXPORT), **changed: object) -> bool:
    shown = server(**changed)
    return may_see(loaded(text, given), Asker(principal()), shown, shown.tools[0], NOON)


def test_a_list_shows_what_may_be_called_or_held() -> None:
    assert sees()
    assert sees(risk=Risk.HIGH)
    assert sees(BIG)
    assert not sees(given=(READ,))
    assert not sees(lifecycle=Lifecycle.DRAFT)
    assert not sees("forbid (principal, action, resource);")


def test_a_rule_that_fails_without_arguments_hides_nothing_from_whom_permissions_suffice() -> None:
    fails = """forbid (principal, action == Action::"call", resource)
    when { 9223372036854775807 + resource.requiredScopes.isEmpty() == 1 };"""
    fails = fails.replace(
        "resource.requiredScopes.isEmpty()", "(if resource.readOnly then 0 else 1)"
    )
    assert judged(fails).code == "evaluation_error"
    assert sees(fails)
    assert not sees(fails, given=(READ,))


# -- always ---------------------------------------------------------------------------------------

SCOPES = st.sets(st.sampled_from(["a", "b", "c"])).map(lambda found: tuple(sorted(found)))


@given(has=SCOPES, approval=SCOPES, wants=SCOPES, risk=st.sampled_from(Risk))
def test_the_built_in_policies_are_exactly_this(
    has: tuple[str, ...], approval: tuple[str, ...], wants: tuple[str, ...], risk: Risk
) -> None:
    shown = server(tool(required_scopes=wants), required_scopes=(), risk=risk)
    verdict = judge(BUILTIN[has, approval], question(at=shown)).verdict
    if not {*wants} <= {*has, *approval}:
        assert verdict is Verdict.DENY
    elif {*wants} <= {*has} and risk is not Risk.HIGH:
        assert verdict is Verdict.ALLOW
    else:
        assert verdict is Verdict.HOLD


SUBSETS = ((), ("a",), ("b",), ("c",), ("a", "b"), ("a", "c"), ("b", "c"), ("a", "b", "c"))
BUILTIN = {
    (has, approval): loaded("", has, approval) for has, approval in product(SUBSETS, SUBSETS)
}


def test_version_and_tenant_are_the_records() -> None:
    policies = loaded()
    record = policy_set()
    assert (policies.tenant, policies.version) == (record.tenant, record.version)


def test_what_was_judged_before_changes_no_judgement() -> None:
    """Answers are kept; those to other arguments, times and approvals are others."""
    rules = f"""{BIG} forbid (principal, action, resource)
    when {{ context.now >= datetime("2100-01-01") }};"""
    asked = [
        replace(question(f'{{"rows":{rows}}}'), now=now, approved=approved)
        for rows, now, approved in product(
            (5, 10001), (NOON, NOON.replace(year=2100)), (False, True)
        )
    ]
    same, alone = loaded(rules), [judge(loaded(rules), one) for one in asked]
    assert {one.verdict for one in alone} == set(Verdict)
    for _ in range(3):
        assert [judge(same, one) for one in asked] == alone


def test_arguments_that_no_rule_reads_are_judged_alike_and_by_one_answer() -> None:
    same = loaded()
    verdicts = {judge(same, question(f'{{"rows":{n}}}')).verdict for n in range(50)}
    assert verdicts == {Verdict.ALLOW}
    (kept,) = same._kept.values()
    assert len(kept.answers) == 1


def test_a_resource_and_a_prompt_of_one_name_are_two() -> None:
    same, uri = loaded("", (READ,)), "greet"
    read = replace(question(f'{{"uri":"{uri}"}}'), kind=TaskKind.READ, tool=None)
    prompt = replace(read, kind=TaskKind.PROMPT, arguments=f'{{"name":"{uri}"}}')
    assert judge(same, read).verdict is judge(same, prompt).verdict is Verdict.ALLOW
