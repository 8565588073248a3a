"""Submissions from the bus: one verdict each, and always a fact."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from interlock.bus import Raw, Stamp
from interlock.bus.memory import MemoryBus
from interlock.bus.port import Group
from interlock.bus.wire import believe, read
from interlock.contracts.access import AgentRecord, RevocationRecord
from interlock.contracts.outcomes import TaskAccepted, TaskRefused
from interlock.contracts.requests import TaskAuthenticated, TaskSubmitted
from interlock.contracts.task import digest_of
from interlock.identity.statements import Signer, Trust, require_arguments, verify_identity
from interlock.identity.submissions import AgentKey
from interlock.state import AGENTS, REVOCATIONS
from interlock.state.memory import MemoryState, MemoryStateReader
from services.auth.handlers import Delegations, Submitted
from services.auth.handlers.delegations import DELEGATION
from services.auth.store import MemoryStore, MemorySubmissions
from tests.services.auth.rig import (
    KEYRING,
    NOON,
    Clock,
    arrived,
    public,
    signer,
    submission,
)

KEY = AgentKey("default", signer("copilot"))
AUTH = signer("auth")


@dataclass
class Desk:
    """The handler with all that it looks at."""

    clock: Clock = field(default_factory=Clock)
    state: MemoryState = field(default_factory=MemoryState)

    def __post_init__(self) -> None:
        reader = MemoryStateReader(self.state, (AGENTS, REVOCATIONS))
        delegations = Delegations(
            store=MemoryStore(),
            signer=AUTH,
            trust=Trust.of(AUTH),
            revocations=reader.view(REVOCATIONS),
            now=self.clock,
            longest=timedelta(hours=8),
        )
        self.submitted = Submitted(
            MemorySubmissions(),
            reader.view(AGENTS),
            delegations,
            Stamp("auth", KEYRING, self.clock),
            AUTH,
            self.clock,
        )

    def register(self, **changes: Any) -> None:
        values: dict[str, Any] = {
            "tenant": "default",
            "name": "copilot",
            "public_keys": (public(KEY),),
            "may_act_for": ("ana",),
            "token_scopes": ("crm:read",),
        }
        self.state.publish(AGENTS, "default", "copilot", AgentRecord(**values | changes))

    async def judge(self, body: TaskSubmitted, message_id: str = "message-1") -> Sequence[Raw]:
        effects = await self.submitted.judge(arrived(body, message_id))
        return [effect for effect in effects if isinstance(effect, Raw)]

    async def refusal(self, body: TaskSubmitted, message_id: str = "message-1") -> TaskRefused:
        (raw,) = await self.judge(body, message_id)
        fact = read(raw).body
        assert isinstance(fact, TaskRefused)
        return fact


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    desk.register()
    return desk


def delegation(of: Signer = AUTH, **changes: Any) -> str:
    claims = {
        "iss": "auth",
        "tenant": "default",
        "sub": "ana",
        "act": {"sub": "copilot"},
        "cnf": {"jkt": KEY.signer.kid},
        "iat": NOON.timestamp(),
        "exp": (NOON + timedelta(hours=8)).timestamp(),
    }
    return of.sign(DELEGATION, claims | changes)


async def test_a_good_submission_is_accepted_and_authenticated(desk: Desk) -> None:
    body = submission(KEY)
    accepted, authenticated = map(read, await desk.judge(body))
    assert isinstance(accepted.body, TaskAccepted)
    assert accepted.body.submission_id == "message-1"
    assert accepted.body.submission_digest == digest_of(arrived(body).raw.body)
    assert accepted.cause == authenticated.cause == "message-1"
    assert isinstance(authenticated.body, TaskAuthenticated)
    task = authenticated.body.task
    assert task == accepted.body.task
    identity = verify_identity(Trust.of(AUTH), authenticated.body.identity, task)
    assert (identity.token_scopes, identity.principal.user) == (("crm:read",), None)
    require_arguments(task, authenticated.body.arguments)


async def test_what_is_stated_is_signed_by_the_suite(desk: Desk) -> None:
    for raw in await desk.judge(submission(KEY)):
        believe(raw, KEYRING)


async def test_a_redelivery_states_the_same_whatever_has_changed_since(desk: Desk) -> None:
    body = submission(KEY)
    first = await desk.judge(body)
    desk.register(enabled=False)
    desk.clock.time += timedelta(hours=2)
    assert await desk.judge(body) == first
    assert (await desk.refusal(submission(KEY, desk.clock.time), "message-2")).code == (
        "disabled_agent"
    )


async def test_a_refusal_stays_one(desk: Desk) -> None:
    desk.register(enabled=False)
    body = submission(KEY)
    first = await desk.judge(body)
    desk.register()
    assert await desk.judge(body) == first


async def test_an_agent_that_was_registered_just_now_is_believed(desk: Desk) -> None:
    other = AgentKey("default", signer("fresh"))
    record = AgentRecord(tenant="default", name="fresh", public_keys=(public(other),))
    await desk.judge(submission(KEY))
    desk.state.publish(AGENTS, "default", "fresh", record)
    assert len(await desk.judge(submission(other))) == 2


async def test_the_same_request_again_restates_the_first_one_s_facts(desk: Desk) -> None:
    first = await desk.judge(submission(KEY))
    later = submission(KEY, NOON + timedelta(minutes=5))
    assert await desk.judge(later, "message-2") == first


async def test_another_request_under_the_same_reference_is_refused_under_its_own_id(
    desk: Desk,
) -> None:
    first = await desk.judge(submission(KEY))
    other = submission(KEY, arguments='{"q":"other"}')
    refused = await desk.refusal(other, "message-2")
    assert (refused.code, refused.subject) == ("reused_ref", "message-2")
    assert refused.submission_digest == digest_of(arrived(other).raw.body)
    assert await desk.judge(submission(KEY)) == first


async def test_a_reference_belongs_to_one_agent(desk: Desk) -> None:
    other = AgentKey("default", signer("deal-desk"))
    record = AgentRecord(tenant="default", name="deal-desk", public_keys=(public(other),))
    desk.state.publish(AGENTS, "default", "deal-desk", record)
    mine = read((await desk.judge(submission(KEY)))[0])
    theirs = read((await desk.judge(submission(other), "message-2"))[0])
    assert mine.body.subject != theirs.body.subject


async def test_no_message_can_take_the_ids_of_another_s_facts(desk: Desk) -> None:
    """Writers choose their message ids; two agents choosing one must not collide."""
    mine = await desk.judge(submission(KEY), "message-1")
    theirs = await desk.judge(submission(KEY, client_ref="ref-2"), "message-1")
    forged = await desk.judge(submission(AgentKey("default", signer("copilot"))), "message-1")
    ids = [raw.id for raw in (*mine, *theirs, *forged)]
    assert len({*ids}) == len(ids) == 5


async def test_a_forged_submission_is_refused_even_for_a_known_reference(desk: Desk) -> None:
    await desk.judge(submission(KEY))
    thief = AgentKey("default", signer("copilot"))
    assert (await desk.refusal(submission(thief), "message-2")).code == "bad_signature"


async def test_an_unknown_agent_is_refused_without_a_tenant(desk: Desk) -> None:
    stranger = AgentKey("victim", signer("copilot"))
    refused = await desk.refusal(submission(stranger))
    assert (refused.code, refused.tenant) == ("unknown_agent", "-")


async def test_an_id_that_is_none_is_replaced(desk: Desk) -> None:
    for odd in ("", "a b", "x" * 300, "é"):
        refused = await desk.refusal(submission(AgentKey("victim", signer("x"))), odd)
        assert len(refused.submission_id) == 64


async def test_a_delegation_of_ours_names_the_user(desk: Desk) -> None:
    accepted = read((await desk.judge(submission(KEY, delegation=delegation())))[0]).body
    assert isinstance(accepted, TaskAccepted)
    assert accepted.task.principal.user == "ana"


@pytest.mark.parametrize(
    "statement",
    ["garbage", delegation(signer("auth")), delegation(sub="bob"), delegation(exp=0.0)],
    ids=["garbage", "not ours", "not allowed", "expired"],
)
async def test_any_other_delegation_is_refused(desk: Desk, statement: str) -> None:
    assert (await desk.refusal(submission(KEY, delegation=statement))).code == "not_delegated"


@pytest.mark.parametrize(("kind", "name"), [("user", "ana"), ("agent", "copilot")])
async def test_what_was_delegated_before_a_revocation_is_void(
    desk: Desk, kind: str, name: str
) -> None:
    moment = NOON + timedelta(seconds=1)
    record = RevocationRecord(tenant="default", kind=kind, name=name, not_before=moment)
    desk.state.publish(REVOCATIONS, "default", f"{kind}:{name}", record)
    refused = await desk.refusal(submission(KEY, delegation=delegation()))
    assert (refused.code, "revoked" in refused.reason) == ("not_delegated", True)


async def test_over_the_bus_each_submission_ends_as_facts(desk: Desk) -> None:
    bus = MemoryBus(KEYRING, desk.clock)
    bodies = [submission(KEY, client_ref=f"ref-{n}") for n in range(20)]
    raws = [arrived(body, f"message-{n}").raw for n, body in enumerate(bodies)]
    await bus.publish([*raws, *raws[:5]])
    running = asyncio.create_task(bus.run(Group("auth", desk.submitted.routes())))
    await bus.drain()
    running.cancel()
    stated = {raw.id for raw in bus.published} - {raw.id for raw in raws}
    assert len(stated) == 40
    assert not await bus.letters("auth")
