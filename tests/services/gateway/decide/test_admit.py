"""Who may come in, and with which arguments."""

from typing import Any

import pytest

from interlock.contracts.task import Principal, PrincipalKind
from interlock.errors import Refused
from interlock.identity.tokens import Caller
from interlock.testing import build
from services.gateway.decide import admit, merge
from services.gateway.model import Offer
from tests.services.gateway.build import SCHEMA, server


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


def offer() -> Offer:
    crm = server()
    return Offer(crm, crm.tools[0])


@pytest.mark.parametrize(
    ("said", "missing"),
    [
        ((), ()),
        (("openid", "profile"), ()),
        (("crm:read",), ("crm:write",)),
        (("crm:read", "crm:write"), ()),
        (("openid", "mail"), ("crm:read", "crm:write")),
    ],
)
def test_a_token_restricts_only_if_it_names_scopes_of_tools(
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


def test_all_violations_are_named_by_place_and_the_sentence_holds_no_value() -> None:
    validator = admit.validator_of({"inputSchema": SCHEMA})
    with pytest.raises(Refused) as refused:
        admit.require_valid(validator, {"limit": 0, "query": {"secret": 1}}, offer())
    found = refused.value.data["violations"]
    assert isinstance(found, list)
    assert [one["at"] for one in found] == ["/limit", "/query"]
    assert "secret" not in refused.value.detail


def test_a_place_is_a_json_pointer() -> None:
    schema = {"properties": {"a/b~c": {"items": {"type": "string"}}}}
    with pytest.raises(Refused) as refused:
        validator = admit.validator_of({"inputSchema": schema})
        admit.require_valid(validator, {"a/b~c": ["x", 1]}, offer())
    assert refused.value.data["violations"] == [
        {"at": "/a~1b~0c/1", "what": "1 is not of type 'string'"}
    ]


@pytest.mark.parametrize(
    "schema", [None, {"type": 7}, {"$ref": "https://evil.example/schema.json"}, "no schema"]
)
def test_a_schema_that_cannot_judge_leaves_it_to_the_upstream(schema: object) -> None:
    validator = admit.validator_of({"inputSchema": schema})
    admit.require_valid(validator, {"anything": 1}, offer())


@pytest.mark.parametrize("named", [5, {}, [], "http://["], ids=str)
def test_a_schema_of_no_known_kind_leaves_it_to_the_upstream(named: object) -> None:
    validator = admit.validator_of({"inputSchema": {"$schema": named, "required": ["a"]}})
    admit.require_valid(validator, {}, offer())


@pytest.mark.parametrize(
    ("schema", "arguments"),
    [
        ({"$ref": "#"}, {}),
        ({"properties": {"a": {"multipleOf": 0.1}}}, {"a": 10**400}),
    ],
    ids=["without end", "too large"],
)
def test_what_cannot_be_checked_is_refused(schema: Any, arguments: Any) -> None:
    validator = admit.validator_of({"inputSchema": schema})
    with pytest.raises(Refused) as refused:
        admit.require_valid(validator, arguments, offer())
    assert refused.value.code == "invalid"
