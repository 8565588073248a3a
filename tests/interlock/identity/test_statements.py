"""A statement is believed only whole, only of its kind, and only from who may state it."""

from base64 import urlsafe_b64encode
from dataclasses import replace
from datetime import timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import OKPKey

from interlock.contracts.ids import Digest, TaskId
from interlock.contracts.task import Principal, PrincipalKind, TaskKind
from interlock.errors import Forged
from interlock.identity import jose
from interlock.identity.statements import (
    GRANT,
    IDENTITY,
    Grant,
    Identity,
    Made,
    Signer,
    Trust,
    require_arguments,
    sign_grant,
    sign_identity,
    verify_grant,
    verify_identity,
)
from tests.interlock.identity.build import AGENT, ARGUMENTS, REGISTRY, SIGNERS, TRUST, signer, task

OTHER_TASKS: list[dict[str, Any]] = [
    {"id": TaskId("task-2")},
    {"round": 1},
    {"kind": TaskKind.READ},
    {"principal": AGENT.model_copy(update={"tenant": "other"})},
    {"principal": AGENT.model_copy(update={"name": "deal-desk"})},
    {"principal": AGENT.model_copy(update={"user": None})},
    {"principal": AGENT.model_copy(update={"kind": PrincipalKind.PERSON})},
    {"server": "erp"},
    {"tool": None},
    {"request_digest": Digest("0" * 64)},
    {"deadline": task().deadline + timedelta(microseconds=1)},
]


def grant(**changes: Any) -> Grant:
    return Grant(task(**changes), 7, "decision-1", Digest("d" * 64), "approval-1")


def test_an_identity_comes_back_as_it_was_signed() -> None:
    identity = Identity.of(task(), ("crm:read",), ("agent",), ("sales",))
    assert verify_identity(TRUST, sign_identity(SIGNERS["gateway"], identity), task()) == identity


def test_a_grant_comes_back_as_it_was_signed() -> None:
    assert verify_grant(TRUST, sign_grant(SIGNERS["policy"], grant()), task()) == grant()


def test_the_same_moment_in_another_time_zone_is_the_same_deadline() -> None:
    there = task(deadline=task().deadline.astimezone(timezone(timedelta(hours=5))))
    statement = sign_identity(SIGNERS["gateway"], Identity.of(task()))
    assert verify_identity(TRUST, statement, there).task == there


@pytest.mark.parametrize("changes", OTHER_TASKS, ids=lambda changes: next(iter(changes)))
def test_a_statement_about_another_task_is_forged(changes: dict[str, Any]) -> None:
    with pytest.raises(Forged):
        verify_identity(
            TRUST, sign_identity(SIGNERS["gateway"], Identity.of(task())), task(**changes)
        )
    with pytest.raises(Forged):
        verify_grant(TRUST, sign_grant(SIGNERS["policy"], grant()), task(**changes))


@pytest.mark.parametrize("service", ["gateway", "auth", "registry", "audit"])
def test_only_policy_grants(service: str) -> None:
    with pytest.raises(Forged, match=f"service `{service}` may not"):
        verify_grant(TRUST, sign_grant(SIGNERS[service], grant()), task())


@pytest.mark.parametrize(
    ("service", "kind", "believed"),
    [
        ("gateway", TaskKind.CALL, True),
        ("auth", TaskKind.CALL, True),
        ("registry", TaskKind.CALL, False),
        ("policy", TaskKind.CALL, False),
        ("registry", TaskKind.INSPECT, True),
        ("gateway", TaskKind.INSPECT, False),
        ("gateway", TaskKind.DELEGATE, True),
        ("registry", TaskKind.DELEGATE, False),
    ],
)
def test_each_service_speaks_for_its_own_kinds(
    service: str, kind: TaskKind, believed: bool
) -> None:
    asked = task(kind=kind)
    statement = sign_identity(SIGNERS[service], Identity.of(asked))
    if believed:
        assert verify_identity(TRUST, statement, asked).task == asked
        return
    with pytest.raises(Forged):
        verify_identity(TRUST, statement, asked)


@pytest.mark.parametrize(
    ("kind", "signed_by", "principal"),
    [
        (TaskKind.CALL, "gateway", REGISTRY),
        (TaskKind.INSPECT, "registry", AGENT),
        (
            TaskKind.INSPECT,
            "registry",
            Principal(tenant="acme", kind=PrincipalKind.SERVICE, name="policy"),
        ),
    ],
)
def test_nobody_asks_in_a_service_s_name_but_that_service(
    kind: TaskKind, signed_by: str, principal: Principal
) -> None:
    asked = task(kind=kind, principal=principal)
    with pytest.raises(Forged, match="cannot ask"):
        verify_identity(TRUST, sign_identity(SIGNERS[signed_by], Identity.of(asked)), asked)


def test_an_identity_is_no_grant_and_a_grant_no_identity() -> None:
    policy = SIGNERS["policy"]
    claims = jose.verify(sign_grant(policy, grant()), lambda _: policy.key)
    with pytest.raises(Forged, match="no `interlock-grant"):
        verify_grant(TRUST, policy.sign(IDENTITY, claims), task())
    gateway = SIGNERS["gateway"]
    claims = jose.verify(sign_identity(gateway, Identity.of(task())), lambda _: gateway.key)
    with pytest.raises(Forged, match="no `interlock-identity"):
        verify_identity(TRUST, gateway.sign(GRANT, claims), task())


def test_a_key_that_only_says_it_is_policy_s_is_not_believed() -> None:
    with pytest.raises(Forged, match="no such key"):
        verify_grant(TRUST, sign_grant(signer("policy"), grant()), task())
    theirs = Signer("policy", SIGNERS["policy"].kid, OKPKey.generate_key("Ed25519"))
    with pytest.raises(Forged, match="does not match"):
        verify_grant(TRUST, sign_grant(theirs, grant()), task())


def test_a_changed_claim_breaks_the_signature() -> None:
    ours = sign_grant(SIGNERS["policy"], grant()).split(".")
    other = sign_grant(SIGNERS["policy"], grant(round=1)).split(".")
    with pytest.raises(Forged, match="does not match"):
        verify_grant(TRUST, ".".join((ours[0], other[1], ours[2])), task(round=1))


@given(st.one_of(st.text(max_size=200), st.integers(0, 400)))
def test_whatever_else_arrives_is_forged(garbage: str | int) -> None:
    statement = sign_grant(SIGNERS["policy"], grant())
    cut = statement[:garbage] if isinstance(garbage, int) else garbage
    with pytest.raises(Forged):
        verify_grant(TRUST, cut, task())


@pytest.mark.parametrize(
    "header",
    [
        b'["alg"]',
        b'"alg"',
        b'{"alg":"none"}',
        b'{"alg":"none","typ":"interlock-grant+jwt"}',
        b'{"alg":7}',
        b'{"alg":"Ed25519","crit":5}',
        b'{"alg":"Ed25519","b64":false}',
        b"[" * 2500,
        b"",
    ],
)
def test_a_header_that_is_none_is_forged(header: bytes) -> None:
    parts = (urlsafe_b64encode(part).rstrip(b"=").decode() for part in (header, b"{}", b"x" * 64))
    with pytest.raises(Forged):
        verify_grant(TRUST, ".".join(parts), task())


def test_arguments_other_than_the_digest_s_are_forged() -> None:
    require_arguments(task(), ARGUMENTS)
    with pytest.raises(Forged, match="arguments of task"):
        require_arguments(task(), ARGUMENTS + " ")


def test_what_was_signed_here_is_believed_only_from_the_key_that_signed_it() -> None:
    made = Made()
    ours, theirs = signer("policy"), OKPKey.generate_key("Ed25519")
    trust = Trust(Trust.of(ours).keys, made)
    first = sign_grant(replace(ours, made=made), grant())
    for statement in (first, sign_grant(replace(ours, made=made), grant(round=1))):
        changes = {} if statement is first else {"round": 1}
        assert verify_grant(trust, statement, task(**changes)) == grant(**changes)
    forged = sign_grant(Signer("policy", ours.kid, theirs, made), grant(round=2))
    with pytest.raises(Forged, match="does not match"):
        verify_grant(trust, forged, task(round=2))


@pytest.mark.parametrize("at", [0, 1, 2])
def test_one_character_makes_a_known_statement_an_unknown_one(at: int) -> None:
    made = Made()
    ours = replace(signer("policy"), made=made)
    trust = Trust(Trust.of(ours).keys, made)
    verify_grant(trust, sign_grant(ours, grant()), task())
    parts = sign_grant(ours, grant()).split(".")
    parts[at] = parts[at][:5] + ("B" if parts[at][5] != "B" else "C") + parts[at][6:]
    with pytest.raises(Forged):
        verify_grant(trust, ".".join(parts), task())


def test_a_known_header_does_not_let_another_kind_or_service_pass() -> None:
    trust = Trust.of(*SIGNERS.values())
    statement = sign_identity(SIGNERS["gateway"], Identity.of(task()))
    for _ in range(2):
        assert verify_identity(trust, statement, task()).task == task()
        with pytest.raises(Forged, match="may not"):
            trust.verify(IDENTITY, statement, ("policy",))
        with pytest.raises(Forged, match="no `interlock-grant"):
            trust.verify(GRANT, statement, ("gateway",))
