"""What an upstream may ask of a client, and tell it: the rules."""

import json
from typing import Any

import pytest

from interlock.contracts.task import Client
from services.invocation import decide


def client(**capabilities: Any) -> Client:
    return Client(capabilities=json.dumps(capabilities))


@pytest.mark.parametrize(
    ("declared", "method", "params", "lacking"),
    [
        ({}, "roots/list", None, "roots"),
        ({"roots": {}}, "roots/list", None, None),
        ({"elicitation": {}}, "elicitation/create", {"message": "?"}, None),
        ({"elicitation": {}}, "elicitation/create", {"mode": "url"}, "elicitation.url"),
        ({"elicitation": {"url": {}}}, "elicitation/create", {"mode": "url"}, None),
        ({"elicitation": {"url": {}}}, "elicitation/create", {}, "elicitation.form"),
        ({"sampling": {}}, "sampling/createMessage", {"tools": []}, "sampling.tools"),
        ({"sampling": {"tools": {}}}, "sampling/createMessage", {"tools": []}, None),
        ({"sampling": {}}, "tools/call", {}, "tools/call"),
        ({"roots": None}, "roots/list", {}, "roots"),
    ],
)
def test_only_what_the_client_declared_may_be_asked(
    declared: dict[str, Any], method: str, params: object, lacking: str | None
) -> None:
    assert decide.undeclared(client(**declared), {"method": method, "params": params}) == lacking


def test_what_is_no_request_may_not_be_asked() -> None:
    assert decide.undeclared(client(roots={}), "roots/list") == "None"


def test_an_upstream_is_told_everything_but_the_extension_that_ends_here() -> None:
    tasks, apps = "io.modelcontextprotocol/tasks", "io.modelcontextprotocol/ui"
    told = decide.told_upstream(client(roots={}, extensions={tasks: {}, apps: {"a": 1}}))
    assert json.loads(told.capabilities) == {"roots": {}, "extensions": {apps: {"a": 1}}}
    only = decide.told_upstream(client(extensions={tasks: {}}))
    assert only.capabilities == "{}"


@pytest.mark.parametrize(
    "exact",
    [
        '{ "roots":{}, "n": 1.0 }',
        '{"extensions": {"a/b": {}}}',
        '{"extensions": "io.modelcontextprotocol/tasks"}',
        '{"experimental": {"io.modelcontextprotocol/tasks": {}}}',
    ],
)
def test_who_does_not_declare_that_extension_is_told_to_the_letter(exact: str) -> None:
    assert decide.told_upstream(Client(capabilities=exact)).capabilities == exact


def test_the_extension_is_known_however_it_is_written() -> None:
    escaped = r'{"roots":{},"extensions":{"io.modelcontextprotocol\/tasks":{}}}'
    assert decide.told_upstream(Client(capabilities=escaped)).capabilities == '{"roots":{}}'


@pytest.mark.parametrize(
    ("wanted", "level", "told"),
    [
        (None, "emergency", False),
        ("warning", "notice", False),
        ("warning", "warning", True),
        ("debug", "info", True),
        ("debug", "loud", False),
        ("debug", 7, False),
    ],
)
def test_the_severity_that_the_client_names_is_the_least(
    wanted: str | None, level: object, told: bool
) -> None:
    assert decide.wants_logged(Client(log_level=wanted), level) is told


def test_a_short_entry_is_passed_on_to_the_letter() -> None:
    text = '{ "level":"info", "data": 1.0 }'
    assert decide.entry(text) == text


@pytest.mark.parametrize("data", ["é" * 9000, {"a": ["x" * 9000]}])
def test_a_long_entry_says_how_long_it_was(data: object) -> None:
    cut = decide.entry(json.dumps({"level": "error", "logger": "l", "data": data}))
    assert len(cut.encode()) <= 8192
    told = json.loads(cut)
    assert told["level"] == "error" and "cut: the entry had" in told["data"]
