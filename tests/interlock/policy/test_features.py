"""Reads, prompts and completions: what governs them, and what older rules mean for them."""

from dataclasses import replace

import pytest

from interlock.contracts.catalogue import Environment, Lifecycle, Risk, ServerRecord
from interlock.contracts.task import TaskKind
from interlock.policy import Judgement, Verdict, judge, may_ask
from tests.interlock.policy.build import READ, loaded, question, server

NOTE = '{"uri":"notes://today"}'
ASKED = [
    (TaskKind.READ, NOTE),
    (TaskKind.PROMPT, '{"name":"greet","arguments":{"whom":"ana"}}'),
    (TaskKind.COMPLETE, '{"ref":{"type":"ref/prompt","name":"greet"},"argument":{}}'),
    (TaskKind.COMPLETE, '{"ref":{"type":"ref/resource","uri":"notes://{day}"},"argument":{}}'),
]
each = pytest.mark.parametrize(("kind", "arguments"), ASKED)


def asked(
    kind: TaskKind,
    arguments: str,
    text: str = "",
    given: tuple[str, ...] = (READ,),
    at: ServerRecord | None = None,
) -> Judgement:
    return judge(loaded(text, given), replace(question(arguments, at=at), kind=kind, tool=None))


@each
def test_the_servers_required_scopes_suffice(kind: TaskKind, arguments: str) -> None:
    assert asked(kind, arguments).verdict is Verdict.ALLOW


@each
def test_what_is_missing_is_named(kind: TaskKind, arguments: str) -> None:
    denied = asked(kind, arguments, given=())
    assert (denied.verdict, denied.missing) == (Verdict.DENY, (READ,))


@each
def test_a_server_that_cannot_be_called_cannot_be_asked_either(
    kind: TaskKind, arguments: str
) -> None:
    draft = server(lifecycle=Lifecycle.DRAFT)
    assert "`draft`" in asked(kind, arguments, at=draft).reason
    half = server(environment=Environment.PRODUCTION)
    assert asked(kind, arguments, at=half).because == ("builtin/approved-for-production",)


def test_risk_is_about_calls_so_a_read_is_not_held_for_it() -> None:
    assert asked(TaskKind.READ, NOTE, at=server(risk=Risk.HIGH)).verdict is Verdict.ALLOW


@pytest.mark.parametrize(
    "rule",
    [
        'forbid (principal, action == Action::"read", resource == Resource::"crm__notes://today");',
        'forbid (principal, action == Action::"read", resource) when '
        '{ context.arguments has uri && context.arguments.uri like "notes://*" };',
        'forbid (principal, action, resource in Server::"crm");',
    ],
)
def test_a_rule_may_name_a_resource_its_uri_or_its_server(rule: str) -> None:
    assert asked(TaskKind.READ, NOTE, rule).verdict is Verdict.DENY
    if "Server" not in rule:
        assert asked(TaskKind.READ, '{"uri":"other://x"}', rule).verdict is Verdict.ALLOW


def test_a_rule_about_any_action_of_an_agent_may_still_read_what_tools_have() -> None:
    rule = (
        'permit (principal == Agent::"sales-copilot", action, resource) '
        'when { resource.readOnly && resource.repeatable && resource.server == "crm" };'
    )
    assert asked(TaskKind.READ, NOTE, rule, given=()).verdict is Verdict.ALLOW


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        (TaskKind.READ, "{}"),
        (TaskKind.READ, '{"uri":7}'),
        (TaskKind.PROMPT, '{"uri":"x"}'),
        (TaskKind.COMPLETE, '{"ref":"x"}'),
        (TaskKind.READ, "[]"),
    ],
)
def test_what_does_not_say_what_it_is_about_is_denied(kind: TaskKind, arguments: str) -> None:
    denied = asked(kind, arguments)
    assert (denied.verdict, denied.code) == (Verdict.DENY, "unrepresentable")


def test_a_list_shows_what_could_be_held_and_hides_what_is_forbidden() -> None:
    rule = 'forbid (principal, action == Action::"read", resource == Resource::"crm__notes://x");'
    shown = replace(question(NOTE), kind=TaskKind.READ, tool=None)
    assert may_ask(loaded(rule, (), (READ,)), shown)
    hidden = replace(shown, arguments='{"uri":"notes://x"}')
    assert not may_ask(loaded(rule), hidden)
