"""A policy file that is wrong is refused, and the refusal says where."""

import re

import pytest

from interlock.contracts.access import PolicySetRecord, PolicyText
from interlock.errors import Refused
from interlock.policy import PolicySets, builtin_policies, load
from interlock.policy.source import statements
from tests.interlock.policy.build import loaded, policy_set

FINE = "permit (principal, action, resource);"


def fault(text: str) -> tuple[str, str]:
    """Where and what the refusal says of a file `rules`."""
    with pytest.raises(Refused) as refused:
        load(policy_set(text))
    assert refused.value.code == "invalid_policy"
    found = re.fullmatch(r"policy `rules\.cedar:(\d+:\d+)`: (.*)", refused.value.detail)
    assert found, refused.value.detail
    return found[1], found[2]


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("permit (principal, action, resource)\nwhen { foo bar };", "2:12", "unexpected token"),
        (f"{FINE}\n// ; here\n\n  permit principal;", "4:10", "unexpected token"),
        (f'{FINE}\npermit (principal, action, resource) when {{ "a }};', "2:45", "invalid token"),
        (f"{FINE}\n  ??? ;", "2:3", "invalid token"),
        ("permit (principal, action, resource)\nwhen { true }", "2:14", "ends with `;`"),
        (f"{FINE}\n\npermit (principal, action, resorce);", "3:28", "invalid variable"),
        ("permit (principal, action, resource) when { foo(1) };", "1:45", "not a valid function"),
        (f"{FINE};", "1:38", "unexpected"),
        (
            'permit (principal, action, resource)\nwhen { principal.nme == "x" };',
            "2:18",
            "attribute `nme` on entity type",
        ),
        (
            'permit (principal == Robot::"r", action, resource);',
            "1:22",
            "unrecognized entity type `Robot`",
        ),
        ('permit (principal, action == Action::"fly", resource);', "1:1", "unrecognized action"),
        (
            "permit (principal, action, resource) when { context.arguments.rows > 1 };",
            "1:45",
            "ask first whether it is there: `context.arguments has",
        ),
        (
            "permit (principal, action, resource) when {\n context.arguments has a &&\n"
            ' (context.arguments.a > 1 || context.arguments.a like "x*") };',
            "2:24",
            "argument `a` is used as `Long` and `String`",
        ),
        ("permit (principal == ?principal, action, resource);", "1:1", "templates are not used"),
        (f'@id("a") {FINE}\n@id("a") {FINE}', "2:1", "there already, at `rules.cedar:1:1`"),
        (f'@id("builtin/mine") {FINE}', "1:1", "kept for Interlock's own"),
        (f'@approvers("cfo") {FINE}', "1:2", "holds nothing"),
        (f'\n@expires("5m") {FINE}', "2:2", "holds nothing"),
        (f'@approvers("c fo") {FINE[:-1]} when {{context.approved}};', "1:2", "write roles"),
        (f'@approvers("") {FINE[:-1]} when {{context.approved}};', "1:2", "write roles"),
        (f'@expires("0m") {FINE[:-1]} when {{context.approved}};', "1:2", "write a time as"),
    ],
)
def test_a_wrong_policy_is_refused_with_its_line_and_column(
    text: str, place: str, message: str
) -> None:
    where, what = fault(text)
    assert message in what
    assert where == place


def test_every_fault_is_told_not_only_the_first() -> None:
    with pytest.raises(Refused, match=r"`rules\.cedar:1:.* \(and 1 more\)$") as refused:
        load(policy_set("permit (principal);\npermit (principal, action, resource) when { a b };"))
    faults = refused.value.data["faults"]
    assert isinstance(faults, list)
    assert [(one["file"], one["line"]) for one in faults] == [
        ("rules.cedar", 1),
        ("rules.cedar", 2),
    ]


def test_a_policy_without_an_id_is_named_after_its_file_and_place_in_it() -> None:
    policies = loaded(f'{FINE} @id("mine") {FINE} {FINE}')
    own = [rule for rule in policies.rules.values() if rule.place.startswith("rules")]
    assert [rule.id for rule in own] == ["rules#1", "mine", "rules#3"]


def test_the_built_in_policies_are_in_every_set() -> None:
    policies = load(PolicySetRecord(tenant="acme", version=0))
    assert {rule.place.partition(":")[0] for rule in policies.rules.values()} == {
        f"{text.name}.cedar" for text in builtin_policies()
    }
    assert {"builtin/permitted-scopes", "builtin/high-risk", "builtin/inspect"} <= set(
        policies.rules
    )


def test_a_semicolon_in_a_text_or_comment_ends_no_policy() -> None:
    text = 'permit (principal, action, resource) // ;\nwhen { principal.name == ";\\";" }; ' + FINE
    assert [one.text.count("permit") for one in statements("a", text)] == [1, 1]
    assert len(loaded(text).rules) == len(loaded().rules) + 2


@pytest.mark.parametrize(
    "condition",
    [
        "context.arguments has a && context.arguments.a == 7",
        'context.arguments has a && context.arguments.a == "x"',
        "context.arguments has a && context.arguments.a",
        'context.arguments has a && context.arguments.a.contains("x")',
        "context.arguments has a && context.arguments.a.contains(3)",
        "context.arguments has a && [1, 2].contains(context.arguments.a)",
        'context.arguments has a && ["x"].containsAll(context.arguments.a)',
        'context.arguments has a && context.arguments.a.lessThan(decimal("1.5"))',
        'context.arguments has a && context.arguments.a == decimal("1.5")',
        "context.arguments has a && context.arguments.a.isEmpty()",
        "context.arguments has a.b && context.arguments.a.b * 2 >= 10",
        'context.arguments has "x y" && context.arguments["x y"] like "*"',
        "context.arguments has a && (if context.arguments.a then true else false)",
        "context.arguments has a && -context.arguments.a < 0",
        "context.arguments has a && resource.tags.contains(context.arguments.a)",
        "context.arguments has a && principal has user && context.arguments.a == principal.user",
        "context.arguments has a && !context.arguments.a",
        'context.arguments has "quote\\"d\\n" && context.arguments["quote\\"d\\n"] == "x"',
    ],
)
def test_arguments_are_used_without_being_declared(condition: str) -> None:
    text = f'permit (principal, action == Action::"call", resource) when {{ {condition} }};'
    assert "rules#1" in loaded(text).rules


def test_an_argument_of_the_wrong_type_is_found_before_it_runs() -> None:
    where, what = fault(
        "permit (principal, action, resource) when {\n"
        '  context.arguments has a && context.arguments.a > "x" };'
    )
    assert where == "1:1"
    assert what.endswith("Long but saw String")


def test_a_set_is_loaded_once_per_version() -> None:
    seen: list[int] = []

    def counting(record: PolicySetRecord) -> object:
        seen.append(record.version)
        return load(record)

    sets = PolicySets(counting)  # type: ignore[arg-type]  # it returns what load returns
    first = policy_set()
    assert sets.of("acme", first) is sets.of("acme", first)
    assert sets.of("beta", None) is sets.of("beta", None)
    newer = first.model_copy(update={"version": 2, "policies": (PolicyText(name="a", text=FINE),)})
    assert sets.of("acme", newer).version == 2
    assert seen == [1, 0, 2]


@pytest.mark.parametrize(
    ("condition", "looked_at"),
    [
        ("true", set()),
        ('context.arguments has rows && context.arguments.rows > 7 && "x" like "x"', {"arguments"}),
        ("context.arguments == {}", {"arguments"}),
        ("context has arguments.rows", {"arguments"}),
        ("context has input && context.tokenScopes.isEmpty()", {"input", "tokenScopes"}),
        ('context.now == datetime("2026-01-01")', {"now"}),
        ("context == context", {"arguments", "input", "approved", "tokenScopes", "now"}),
        ("{a: context}.a.approved", {"arguments", "input", "approved", "tokenScopes", "now"}),
    ],
)
def test_what_rules_look_at_is_known(condition: str, looked_at: set[str]) -> None:
    found = loaded(f"forbid (principal, action, resource) when {{ {condition} }};").looked_at
    assert found == looked_at | {"approved"}  # which a built-in rule reads
