"""Messages that nobody of the suite sent: parked, recorded, and never believed."""

from collections.abc import Callable
from typing import TypeVar

import pytest

from interlock.contracts.ids import derived
from interlock.contracts.message import Fact
from interlock.contracts.outcomes import TaskApproved, TaskFailed, TaskParked, TaskSucceeded
from interlock.contracts.requests import CallAuthorized, TaskAuthenticated
from interlock.contracts.task import Principal, PrincipalKind, Task
from interlock.identity.keys import load_signer
from interlock.identity.statements import Grant, Identity, Signer, sign_grant, sign_identity
from tests.components.crm import NOT_REPEATABLE, SCOPE, SERVER
from tests.components.suite import until
from tests.components.world import World, permit
from tests.flows.attacks.forger import ARGUMENTS, Forger

F = TypeVar("F", bound=Fact)
Whose = Callable[[World], Forger]
RESULT = '{"content":[{"type":"text","text":"done"}]}'


@pytest.mark.parametrize("forger", [Forger.outside, Forger.inside], ids=["outside", "inside"])
class TestOfAnyForger:
    """Without any key, and with the suite's own: a service's key is a wall of its own."""

    def test_an_identity_that_no_door_signed_is_parked(
        self, attacked: World, forger: Whose
    ) -> None:
        who = forger(attacked)
        task = who.task()
        forged = authenticated(task, who.signer("gateway"))
        letter = who.parked("policy", who.put(forged, "gateway"))
        assert letter["code"] == "forged", letter
        recorded(who, task)
        assert attacked.crm.calls()[task.id] == 0

    def test_a_grant_that_policy_did_not_sign_is_never_executed(
        self, attacked: World, forger: Whose
    ) -> None:
        who = forger(attacked)
        task = who.task()
        letter = who.parked("invocation", who.put(authorized(task, who.signer("policy")), "policy"))
        assert letter["code"] == "forged", letter
        recorded(who, task)
        assert attacked.crm.calls()[task.id] == 0


@pytest.mark.promise("forged")
@pytest.mark.parametrize("service", ["gateway", "auth", "registry"])
def test_a_grant_with_the_key_of_another_service_is_never_executed(
    attacked: World, service: str
) -> None:
    who = Forger.inside(attacked)
    own = load_signer(attacked.suite.data / "keys", service, create=False)
    task = who.task()
    for signer in (own, Signer("policy", own.kid, own.key)):
        letter = who.parked("invocation", who.put(authorized(task, signer), "policy"))
        assert letter["code"] == "forged", letter
    assert attacked.crm.calls()[task.id] == 0


def test_a_true_grant_does_not_carry_other_arguments_or_another_task(attacked: World) -> None:
    who = Forger.inside(attacked)
    true = stolen_grant(attacked)
    other = who.task(ARGUMENTS.replace("1", "2"), true.task.id)
    elsewhere = who.task(ARGUMENTS)
    for task, arguments in (
        (true.task, ARGUMENTS.replace("50", "49")),
        (other, ARGUMENTS.replace("1", "2")),
        (elsewhere, ARGUMENTS),
    ):
        forged = CallAuthorized(task=task, arguments=arguments, grant=true.grant)
        letter = who.parked("invocation", who.put(forged, "policy"))
        assert letter["code"] == "forged", letter
    assert attacked.crm.calls()[true.task.id] == 1
    assert attacked.crm.calls()[elsewhere.id] == 0


def test_an_outcome_from_outside_is_not_believed(attacked: World) -> None:
    who = Forger.outside(attacked)
    held = hold(attacked)
    forged = TaskSucceeded(task=who.task(task_id=held), result=RESULT)
    letter = who.parked("gateway", who.put(forged, "invocation"))
    assert letter["code"] == "forged", letter
    who.recorded("forged", held)
    assert state(attacked, held) == "held"
    attacked.suite.ask("DELETE", f"/v1/tasks/{held}", token=attacked.key)


@pytest.mark.parametrize("forger", [Forger.outside, Forger.inside], ids=["outside", "inside"])
def test_a_forged_approval_lets_nothing_run(attacked: World, forger: Whose) -> None:
    who = forger(attacked)
    held = hold(attacked)
    task = stated(attacked, held, TaskAuthenticated).task
    approved = TaskApproved(
        task=task,
        approval_id="forged",
        by=Principal(tenant=task.tenant, kind=PrincipalKind.PERSON, name="ana"),
        held_under=1,
        approved_under=1,
    )
    who.put(approved, "policy")
    letter = who.parked("invocation", who.put(authorized(task, who.signer("policy")), "policy"))
    assert letter["code"] == "forged", letter
    decided = attacked.suite.ask("GET", f"/policy/v1/decisions/{held}")["decisions"]
    assert [one["state"] for one in decided] == ["held"]
    assert attacked.crm.calls()[held] == 0
    attacked.suite.ask("DELETE", f"/v1/tasks/{held}", token=attacked.key)


def test_a_forgery_under_the_id_of_a_true_message_does_not_take_its_place(
    attacked: World,
) -> None:
    who = Forger.outside(attacked)
    held = hold(attacked)
    forged = TaskFailed(task=who.task(task_id=held), code="forged", reason="it is not so")
    true = TaskSucceeded.type
    ids = [derived(held, "invocation", true, 1, seq) for seq in range(4)]
    for event_id in ids:
        who.parked("gateway", who.put(forged, "invocation", event_id))
    attacked.suite.ask("POST", f"/policy/v1/tasks/{held}/approve", {})
    until(lambda: state(attacked, held) == "succeeded", "it succeeded", within=15)
    stated(attacked, held, TaskSucceeded)
    (record,) = [one for one in who.records(task=held) if one["type"] == true]
    assert record["id"] in ids, "the forged ids were not those of the true message"
    assert attacked.crm.calls()[held] == 1


def test_an_agent_cannot_approve_what_it_asked_for(attacked: World) -> None:
    held = hold(attacked)
    with pytest.raises(RuntimeError, match="403"):
        attacked.suite.ask("POST", f"/policy/v1/tasks/{held}/approve", {}, attacked.key)
    assert state(attacked, held) == "held"
    attacked.suite.ask("DELETE", f"/v1/tasks/{held}", token=attacked.key)


# -- what is put there, and what is looked at ---------------------------------------------------


def authenticated(task: Task, signer: Signer) -> TaskAuthenticated:
    """A request whose identity `signer` signed."""
    identity = sign_identity(signer, Identity.of(task, (), ("admin",)))
    return TaskAuthenticated(task=task, arguments=ARGUMENTS, identity=identity)


def authorized(task: Task, signer: Signer) -> CallAuthorized:
    """A permission to call whose grant `signer` signed."""
    grant = sign_grant(signer, Grant(task, policy_version=1, decision_id="forged"))
    return CallAuthorized(task=task, arguments=ARGUMENTS, grant=grant)


def recorded(who: Forger, task: Task) -> None:
    """Return once the ledger tells of the forgery: as a message, or as what was parked."""

    def told() -> bool:
        found = who.records(task=task.id)
        return any(one.get("fault") == "forged" or one["type"] == TaskParked.type for one in found)

    until(told, "the ledger tells of the forgery", within=15)


def hold(here: World) -> str:
    """A task that waits for approval; its id."""
    permit(here.suite, with_approval=(SCOPE,))
    try:
        task = ask_for_discount(here, wait=0)
        until(lambda: state(here, task) == "held", "it is held", within=15)
    finally:
        permit(here.suite, SCOPE)
    return task


def ask_for_discount(here: World, wait: int = 20) -> str:
    """Ask at the door for what the forgers want; the task's id."""
    given = {"opportunity_id": "opp-1", "percent": 50}
    body = {"server": SERVER, "tool": NOT_REPEATABLE, "arguments": given}
    return str(here.suite.ask("POST", "/v1/tasks", body, here.key, wait=wait)["id"])


def stolen_grant(here: World) -> CallAuthorized:
    """The true permission of a task that ran, as it went over the bus."""
    return stated(here, ask_for_discount(here), CallAuthorized)


def stated(here: World, task: str, kind: type[F]) -> F:
    """What the ledger kept of a message about a task, once it is there."""
    found: list[F] = []

    def look() -> bool:
        try:
            records = here.suite.ask("GET", f"/audit/v1/tasks/{task}")["records"]
        except RuntimeError:
            return False
        found[:] = [kind.model_validate(r["body"]) for r in records if r["type"] == kind.type]
        return bool(found)

    until(look, f"the ledger has `{kind.type}`", within=15)
    return found[0]


def state(here: World, task: str) -> str:
    return str(here.suite.ask("GET", f"/v1/tasks/{task}", token=here.key, wait=0)["state"])
