"""Auth's rules, plain."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from interlock.contracts.access import AgentRecord
from interlock.contracts.task import TaskKind, request_digest
from interlock.errors import Refused
from interlock.identity.submissions import AgentKey
from services.auth import decide
from services.auth.model import SigningKey
from tests.services.auth.rig import ARGUMENTS, EDGE, NOON, public, signer, submission

KEY = AgentKey("default", signer("copilot"))
AGENT = AgentRecord(
    tenant="default",
    name="copilot",
    public_keys=(public(KEY),),
    may_act_for=("ana",),
    token_scopes=("crm:read",),
)
DELEGATION = {
    "tenant": "default",
    "sub": "ana",
    "act": {"sub": "copilot"},
    "cnf": {"jkt": KEY.signer.kid},
    "exp": (NOON + timedelta(hours=8)).timestamp(),
}


def code(agent: AgentRecord | None = AGENT, delegation: Any = None, **changes: Any) -> str:
    with pytest.raises(Refused) as refused:
        decide.believe(submission(KEY, **changes), agent, delegation, NOON)
    return refused.value.code


def test_a_signed_submission_is_its_agent_s_task() -> None:
    believed = decide.believe(submission(KEY), AGENT, None, NOON)
    task = believed.task
    assert (task.principal.label, task.server, task.tool) == ("agent:copilot", "crm", "search")
    assert task.request_digest == request_digest(TaskKind.CALL, "crm", "search", ARGUMENTS)
    assert task.deadline == NOON + timedelta(hours=1)
    assert believed.token_scopes == ("crm:read",)


def test_a_task_s_id_follows_from_tenant_agent_and_reference() -> None:
    again = submission(KEY, NOON + timedelta(minutes=1))
    first = decide.believe(submission(KEY), AGENT, None, NOON).task.id
    assert decide.believe(again, AGENT, None, NOON).task.id == first
    other = submission(KEY, client_ref="ref-2")
    assert decide.believe(other, AGENT, None, NOON).task.id != first


def test_a_delegation_names_the_user() -> None:
    believed = decide.believe(submission(KEY), AGENT, DELEGATION, NOON)
    assert believed.task.principal.label == "agent:copilot for ana"


@pytest.mark.parametrize(
    "changes",
    [
        {"tenant": "other"},
        {"act": {"sub": "deal-desk"}},
        {"cnf": {"jkt": "another"}},
        {"sub": "bob"},
        {"exp": NOON.timestamp()},
    ],
    ids=str,
)
def test_a_delegation_to_somebody_else_or_of_yesterday_is_none(changes: dict[str, Any]) -> None:
    assert code(delegation=DELEGATION | changes) == "not_delegated"


@pytest.mark.parametrize(
    ("agent", "why"),
    [
        (None, "unknown_agent"),
        (AGENT.model_copy(update={"enabled": False}), "disabled_agent"),
        (AGENT.model_copy(update={"public_keys": ()}), "bad_signature"),
    ],
)
def test_who_is_not_known_enabled_and_registered_with_the_key_is_refused(
    agent: AgentRecord | None, why: str
) -> None:
    assert code(agent) == why


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"deadline": NOON}, "expired"),
        ({"deadline": datetime.fromisoformat("0001-01-01T00:00:00+14:00")}, "expired"),
        ({"deadline": datetime.fromisoformat("9999-12-31T23:59:59-14:00")}, "bad_request"),
        ({"deadline": NOON.replace(tzinfo=None)}, "bad_request"),
        ({"deadline": NOON + timedelta(hours=24, seconds=1)}, "bad_request"),
        ({"arguments": '{"a":1,"a":2}'}, "bad_arguments"),
        ({"arguments": '{"a":"\\ud800"}'}, "bad_arguments"),
        ({"arguments": '{"a":NaN}'}, "bad_arguments"),
        ({"arguments": "[]"}, "bad_arguments"),
        ({"client_ref": ""}, "bad_request"),
        ({"client_ref": "x" * 256}, "bad_request"),
        ({"tool": None}, "bad_request"),
        ({"kind": TaskKind.INSPECT}, "bad_request"),
        ({"kind": TaskKind.DELEGATE}, "bad_request"),
    ],
    ids=str,
)
def test_what_is_signed_can_still_be_wrong(changes: dict[str, Any], why: str) -> None:
    assert code(**changes) == why


@pytest.mark.parametrize(
    ("asked", "issued"),
    [(None, ("a", "b")), ("", ("a", "b")), ("b", ("b",)), ("z b a b", ("b", "a"))],
)
def test_a_token_says_what_was_asked_as_far_as_it_is_allowed(
    asked: str | None, issued: tuple[str, ...]
) -> None:
    assert decide.scopes_to_issue(asked, ("a", "b")) == issued


def test_a_token_for_nothing_that_is_allowed_is_refused() -> None:
    with pytest.raises(Refused, match="it has `a`, `b`") as refused:
        decide.scopes_to_issue("z", ("a", "b"))
    assert refused.value.code == "invalid_scope"


@pytest.mark.parametrize(
    ("asked", "audiences"),
    [
        ([], (EDGE,)),
        ([f"{EDGE}/"], (EDGE,)),
        ([f"{EDGE}/mcp", f"{EDGE}/mcp/"], (f"{EDGE}/mcp",)),
    ],
)
def test_a_token_is_for_the_suite_or_part_of_it(
    asked: list[str], audiences: tuple[str, ...]
) -> None:
    assert decide.resources_to_issue(asked, EDGE) == audiences


@pytest.mark.parametrize(
    "asked", ["https://elsewhere.example", f"{EDGE}.evil.example", f"{EDGE}/#"]
)
def test_a_token_for_elsewhere_is_refused(asked: str) -> None:
    with pytest.raises(Refused) as refused:
        decide.resources_to_issue([asked], EDGE)
    assert refused.value.code == "invalid_target"


def assertion(**changes: Any) -> dict[str, Any]:
    ends = (NOON + timedelta(minutes=5)).timestamp()
    return {"iss": "copilot", "sub": "copilot", "aud": f"{EDGE}/auth", "exp": ends} | changes


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "other"},
        {"sub": None},
        {"aud": EDGE},
        {"aud": None},
        {"aud": []},
        {"aud": [["x"]]},
        {"aud": 5},
        {"exp": None},
        {"exp": (NOON - timedelta(seconds=30)).timestamp()},
        {"exp": (NOON + timedelta(minutes=6)).timestamp()},
        {"exp": 1e300},
        {"exp": -1e300},
    ],
    ids=str,
)
def test_an_assertion_is_the_client_s_own_for_us_and_short(changes: dict[str, Any]) -> None:
    ours = (f"{EDGE}/auth",)
    decide.require_assertion(assertion(), "copilot", ours, NOON)
    decide.require_assertion(assertion(aud=[*ours, "x"]), "copilot", ours, NOON)
    with pytest.raises(Refused) as refused:
        decide.require_assertion(assertion(**changes), "copilot", ours, NOON)
    assert refused.value.code == "invalid_client"


def test_the_newest_key_that_was_not_replaced_signs() -> None:
    old = SigningKey("a", "", "", NOON, NOON + timedelta(minutes=1))
    new = SigningKey("b", "", "", NOON - timedelta(days=1))
    assert decide.signs([old, new]) == new
    assert decide.signs([old]) is None


def test_a_replaced_key_is_forgotten_when_its_tokens_have_ended() -> None:
    key = SigningKey("a", "", "", NOON, NOON + timedelta(minutes=1))
    assert decide.to_forget([key], NOON) == []
    assert decide.to_forget([key], NOON + timedelta(minutes=1)) == [key]


@pytest.mark.parametrize(
    ("roles", "giver", "why"),
    [
        (("emperor",), ("admin",), "invalid"),
        (("admin",), ("operator",), "forbidden"),
        (("approver",), ("operator",), "forbidden"),
        (("agent",), (), "forbidden"),
    ],
)
def test_nobody_gives_rights_that_he_lacks(
    roles: tuple[str, ...], giver: tuple[str, ...], why: str
) -> None:
    decide.require_may_give(("admin", "operator"), ("admin",))
    decide.require_may_give(("owner",), ("operator",))
    with pytest.raises(Refused) as refused:
        decide.require_may_give(roles, giver)
    assert refused.value.code == why


@pytest.mark.parametrize("wanted", [None, "c"])
def test_a_delegation_is_bound_to_one_of_the_agent_s_keys(wanted: str | None) -> None:
    assert decide.key_to_bind(["a"], None) == "a"
    assert decide.key_to_bind(["a", "b"], "b") == "b"
    with pytest.raises(Refused, match="`a`, `b`"):
        decide.key_to_bind(["a", "b"], wanted)
