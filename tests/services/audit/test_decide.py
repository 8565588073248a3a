"""What is kept of a message, what it is found by, and in which order a task is told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.bus import Arrival, Raw
from interlock.bus.wire import read
from interlock.contracts.message import Fact
from interlock.contracts.outcomes import Settlement, TaskSettled
from interlock.contracts.task import PrincipalKind
from interlock.contracts.topics import Topic
from interlock.errors import Refused
from interlock.identity.statements import Grant, sign_grant
from interlock.ledger import NOBODY, Record
from interlock.testing import build
from services.audit import decide
from services.audit.model import Found, Index, Place
from tests.interlock.ledger.ledgers import NOON, key, story

texts = st.dictionaries(
    st.sampled_from(["ce_id", "ce_tenant", "ce_subject", "ce_type", "ce_time", "ce_cause"]),
    st.text(st.characters(codec="utf-8")),
)


def index(fact: Fact) -> Index:
    return decide.index_of(build.raw(fact), fact)


def forged(raw: Raw) -> Arrival:
    return Arrival(raw, None, "forged", "not signed by this suite")


def test_a_believed_message_keeps_its_id_tenant_and_subject() -> None:
    raw = build.raw(build.authenticated())
    entry = decide.entry_of(Arrival(raw, read(raw).body), NOON)
    assert (entry.event_id, entry.tenant, entry.subject) == (raw.id, "acme", "task-1")
    assert (entry.arrived_at, entry.fault) == (NOON, "")


def test_a_forged_message_has_an_id_of_its_own_and_is_no_tenants() -> None:
    raw = build.raw(build.authenticated())
    entry = decide.entry_of(forged(raw), NOON)
    assert entry.event_id != raw.id
    assert entry.event_id == decide.entry_of(forged(raw), NOON + 1).event_id
    assert (entry.tenant, entry.subject, entry.fault) == (NOBODY, "task-1", "forged")
    assert entry.event_id != decide.entry_of(forged(raw._replace(body=b"{}")), NOON).event_id


def test_an_unreadable_message_takes_no_true_messages_place() -> None:
    raw = build.raw(build.authenticated())
    entry = decide.entry_of(Arrival(raw, None, "unreadable"), NOON)
    assert entry.event_id != raw.id
    assert entry.tenant == "acme"


def test_a_message_of_a_newer_type_keeps_its_id_for_what_it_causes() -> None:
    raw = build.raw(build.authenticated())
    entry = decide.entry_of(Arrival(raw, None, "unknown_type"), NOON)
    assert (entry.event_id, entry.fault) == (raw.id, "unknown_type")


@given(texts, st.binary(max_size=20), st.sampled_from(["forged", "unreadable", "unknown_type"]))
def test_whatever_arrives_can_be_kept_by_every_database(
    attributes: dict[str, str], body: bytes, fault: str
) -> None:
    raw = Raw(Topic.TASK_EVENTS, attributes, body)
    entry = decide.entry_of(Arrival(raw, None, fault, "\0"), NOON)
    found_by = decide.index_of(raw, None)
    texts = [entry.event_id, entry.tenant, entry.subject, entry.reason]
    texts += [found_by.type, found_by.source, found_by.cause or ""]
    assert all("\0" not in text and len(text) <= 1000 for text in texts)
    assert entry.event_id and entry.tenant
    assert decide.index_again(entry) == found_by


def test_a_call_is_found_by_who_what_and_where() -> None:
    asked = index(build.authenticated(build.task(principal=build.principal(user="ana"))))
    assert (asked.kind, asked.server, asked.tool) == ("call", "crm", "search_opportunities")
    assert (asked.agent, asked.user) == ("sales-copilot", "ana")


def test_a_person_is_found_as_a_user_and_a_service_as_neither() -> None:
    assert index(build.server_moved()).user == "ana"
    registry = build.principal("registry", PrincipalKind.SERVICE, user="olga")
    inspecting = index(build.authenticated(build.task(principal=registry)))
    assert (inspecting.agent, inspecting.user) == (None, "olga")


def test_decisions_are_found_with_the_policy_that_made_them() -> None:
    assert index(build.denied()).decision == "deny"
    assert index(build.denied()).outcome == "denied"
    assert index(build.held()).decision == "hold"
    assert (index(build.held()).policy_version, index(build.held()).decision_id) == (
        1,
        "decision-1",
    )
    assert (index(build.approved()).decision, index(build.approved()).policy_version) == (
        "approve",
        2,
    )


def test_an_allowed_call_tells_the_policy_version_of_its_grant() -> None:
    grant = sign_grant(key(), Grant(build.task(), policy_version=7, decision_id="decision-7"))
    allowed = index(build.authorized(grant=grant))
    assert (allowed.decision, allowed.policy_version) == ("allow", 7)
    assert allowed.decision_id == "decision-7"


@pytest.mark.parametrize("grant", ["", "a.b", "a.W10.c", "a.!!.c", "a.eyJ9.c"])
def test_a_grant_that_says_nothing_is_kept_all_the_same(grant: str) -> None:
    allowed = index(build.authorized(grant=grant))
    assert (allowed.decision, allowed.policy_version) == ("allow", None)


@pytest.mark.parametrize(
    ("fact", "outcome"),
    [
        (build.succeeded(), "succeeded"),
        (build.failed(), "failed"),
        (build.cancelled(), "cancelled"),
        (build.unknown(), "unknown"),
        (build.started(), None),
        (
            TaskSettled(task=build.task(), outcome=Settlement.FAILED, by=build.person()),
            "failed",
        ),
    ],
)
def test_ends_are_found_by_their_outcome(fact: Fact, outcome: str | None) -> None:
    assert index(fact).outcome == outcome


def test_an_answer_tells_how_long_its_attempts_took() -> None:
    assert index(build.succeeded()).latency == build.attempt().seconds


def test_a_door_refusal_is_found_without_a_principal() -> None:
    refused = index(build.door_refused())
    assert (refused.agent, refused.server, refused.type) == (
        None,
        None,
        "interlock.door.refused.v1",
    )


def found(raw: Raw, seq: int = 1) -> Found:
    body = read(raw).body
    entry = decide.entry_of(Arrival(raw, body), NOON)
    record = Record(0, seq, b"", b"", entry)
    return Found(record, entry, decide.index_of(raw, body))


@given(st.permutations(range(4)))
def test_a_task_is_told_in_causal_order_however_it_arrived(order: list[int]) -> None:
    raws = story()
    told = [found(raws[place], seq) for seq, place in enumerate(order)]
    ids = [one.entry.event_id for one in decide.in_causal_order(told)]
    assert ids[:2] == [raws[0].id, raws[1].id]
    assert set(ids[2:]) == {raws[2].id, raws[3].id}


def test_causes_in_a_circle_are_all_told() -> None:
    one = build.raw(build.started(), event_id="one", cause="other")
    other = build.raw(build.failed(), event_id="other", cause="one")
    assert len(decide.in_causal_order([found(one), found(other)])) == 2


def test_only_who_runs_the_suite_sees_what_is_nobodys() -> None:
    ana, olga = build.person("ana", "acme"), build.person("olga", "default")
    for role in ("auditor", "operator", "admin"):
        assert decide.visible_tenants(ana, (role,)) == ("acme",)
    assert decide.visible_tenants(olga, ("auditor",)) == ("default",)
    assert decide.visible_tenants(olga, ("operator",)) == ("default", NOBODY)
    assert decide.visible_tenants(olga, ("admin",)) == ("default", NOBODY)


def test_a_cursor_leads_back_to_its_place() -> None:
    assert decide.place_of(decide.cursor_of(found(story()[0], 9))) == Place(NOON, 0, 9)


@given(st.text())
def test_a_cursor_is_a_place_or_refused(cursor: str) -> None:
    try:
        decide.place_of(cursor)
    except Refused as error:
        assert error.code == "invalid"


def test_moments_survive_both_ways() -> None:
    assert decide.moment_of(decide.micros(build.NOON)) == build.NOON
