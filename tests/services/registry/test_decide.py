import json
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from interlock.contracts.catalogue import (
    Environment,
    HttpConnection,
    Inspection,
    Lifecycle,
    ServerRecord,
)
from interlock.errors import Refused
from services.registry import decide
from services.registry.model import Entry, ToolChange

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
TODAY = NOON.date()


def server(name: str = "crm", **values: object) -> ServerRecord:
    given: dict[str, object] = {
        "tenant": "default",
        "name": name,
        "capability": "opportunities and stages of the sales pipeline",
        "owner_team": "sales-it",
        "technical_owner": "olga",
        "environment": Environment.PRODUCTION,
        "connection": HttpConnection(url=f"http://{name}.test/mcp"),
    }
    return ServerRecord.model_validate(given | values)


def tool(name: str = "search", **more: object) -> str:
    return json.dumps({"name": name, "inputSchema": {"type": "object"}} | more)


def approved(*tools: str, state: Lifecycle = Lifecycle.MONITORED) -> Entry:
    fresh = decide.inspected(Entry(server()), Inspection(protocol_version="x", tools=tools), NOON)
    return replace(fresh, record=fresh.record.model_copy(update={"lifecycle": state}))


def move(entry: Entry, to: Lifecycle, by: str = "rita", retire_on: date | None = None) -> Lifecycle:
    return decide.move(entry, to, by=by, retire_on=retire_on, today=TODAY).lifecycle


def test_the_way_to_production_is_legal_step_by_step() -> None:
    entry = approved(tool(), state=Lifecycle.DRAFT)
    for state in (
        Lifecycle.SUBMITTED,
        Lifecycle.SECURITY_REVIEW,
        Lifecycle.APPROVED_DEV,
        Lifecycle.APPROVED_PRODUCTION,
        Lifecycle.MONITORED,
    ):
        record = decide.move(entry, state, by="rita", retire_on=None, today=TODAY)
        entry = replace(entry, record=record)
    assert entry.record.lifecycle is Lifecycle.MONITORED


def test_an_illegal_move_names_the_legal_ones() -> None:
    with pytest.raises(Refused, match="`retired`, `submitted`") as refused:
        move(Entry(server()), Lifecycle.MONITORED)
    assert refused.value.code == "illegal_move"
    assert refused.value.data["legal"] == ["retired", "submitted"]


def test_nothing_leaves_retirement() -> None:
    for state in Lifecycle:
        with pytest.raises(Refused, match="legal moves: none"):
            move(approved(state=Lifecycle.RETIRED), state)


def test_the_technical_owner_does_not_approve_the_own_server() -> None:
    with pytest.raises(Refused, match="another reviewer"):
        move(approved(state=Lifecycle.SECURITY_REVIEW), Lifecycle.APPROVED_DEV, by="olga")


def test_a_server_that_nobody_looked_at_is_not_approved() -> None:
    entry = Entry(server(lifecycle=Lifecycle.SECURITY_REVIEW))
    with pytest.raises(Refused, match="inspect it first"):
        move(entry, Lifecycle.APPROVED_DEV)


@pytest.mark.parametrize("retire_on", [None, TODAY])
def test_deprecation_needs_a_date_to_come(retire_on: date | None) -> None:
    with pytest.raises(Refused, match="retire_on"):
        move(approved(), Lifecycle.DEPRECATED, retire_on=retire_on)


def test_a_deprecated_server_is_due_on_its_date_and_not_before() -> None:
    later = date(2026, 3, 1)
    record = decide.move(approved(), Lifecycle.DEPRECATED, by="rita", retire_on=later, today=TODAY)
    assert not decide.due_for_retirement([Entry(record)], date(2026, 2, 28))
    assert decide.due_for_retirement([Entry(record)], later)


def test_the_same_address_in_another_spelling_is_noticed() -> None:
    other = server(
        "sales", capability="other", connection=HttpConnection(url="http://CRM.test/mcp/")
    )
    assert [one.name for one in decide.similar(server(), [other])] == ["sales"]


def test_a_near_identical_purpose_is_noticed_and_another_is_not() -> None:
    twin = server("crm-two", capability="opportunities and stages of a sales pipeline")
    stranger = server("clock", capability="the time of day in any city")
    assert [one.name for one in decide.similar(server(), [twin, stranger])] == ["crm-two"]


def test_annotations_say_whether_a_repeat_is_safe() -> None:
    read = decide.read_tool(tool(annotations={"readOnlyHint": True}), {})
    same = decide.read_tool(tool(annotations={"idempotentHint": True}), {})
    plain = decide.read_tool(tool(), {})
    assert (read.repeatable, read.read_only) == (True, True)
    assert (same.repeatable, same.read_only) == (True, False)
    assert (plain.repeatable, plain.read_only) == (False, False)


def test_the_owner_overrides_the_annotations() -> None:
    told = decide.read_tool(
        tool(annotations={"readOnlyHint": True}), {"search": ToolChange(repeatable=False)}
    )
    assert not told.repeatable


def test_an_unknown_tool_cannot_be_set() -> None:
    with pytest.raises(Refused, match="it has `search`"):
        decide.edited(approved(tool()), {"serch": ToolChange(repeatable=True)})


def test_the_order_of_keys_does_not_change_a_definition() -> None:
    one, other = {"name": "a", "title": "b"}, {"title": "b", "name": "a"}
    assert decide.definition_digest(one) == decide.definition_digest(other)


def test_a_silent_change_of_an_approved_tool_is_withheld_until_accepted() -> None:
    changed = Inspection(
        protocol_version="x", tools=(tool(description="now with more"), tool("fresh"))
    )
    entry = decide.inspected(approved(tool()), changed, NOON)
    assert entry.record.tools == ()
    assert [one.name for one in entry.pending] == ["search", "fresh"]

    accepted = decide.accepted(entry, "search")
    assert [one.description for one in accepted.record.tools] == ["now with more"]
    assert [one.name for one in accepted.pending] == ["fresh"]


def test_an_unchanged_tool_stays_offered_after_another_look() -> None:
    again = decide.inspected(
        approved(tool()), Inspection(protocol_version="x", tools=(tool(),)), NOON
    )
    assert [one.name for one in again.record.tools] == ["search"]
    assert again.pending == ()


def test_a_draft_takes_what_its_upstream_says() -> None:
    draft = approved(tool(), state=Lifecycle.DRAFT)
    looked = decide.inspected(
        draft, Inspection(protocol_version="x", tools=(tool(description="new"),)), NOON
    )
    assert looked.record.tools[0].description == "new"


def test_what_a_server_offers_beside_tools_is_kept_in_order_as_it_was_defined() -> None:
    prompts = ('{"name": "b", "x-kept": 1}', '{"name": "a"}', '{"name": "b"}')
    look = Inspection(
        protocol_version="x",
        resources=('{"uri": "notes://x"}',),
        templates=('{"uriTemplate": "notes://{day}"}',),
        prompts=prompts,
        completes=True,
    )
    record = decide.inspected(Entry(server()), look, NOON).record
    assert [one.definition for one in record.prompts] == [prompts[1], prompts[0]]
    assert [one.name for one in record.resources] == ["notes://x"]
    assert [one.name for one in record.templates] == ["notes://{day}"]
    assert record.completes
    assert record.prompts[0].digest == decide.definition_digest({"name": "a"})
