"""Input that a task asks for: who asks is told what, and answers become the task's next round.

Like a request, a round is written down with its message before anybody is told that it was taken,
and published until the bus has it.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import orjson

from interlock.bus import Bus, Stamp
from interlock.contracts.outcomes import TaskInputRequired
from interlock.contracts.requests import TaskAuthenticated
from interlock.contracts.task import Task, TaskState, request_digest
from interlock.identity.statements import Signer, sign_identity
from interlock.identity.tokens import Caller
from services.gateway.decide import merge, state
from services.gateway.decide.manner import asked_of, missing, undeclared
from services.gateway.decide.tell import STATE_META, TASK_META, answers_of
from services.gateway.decide.text import raw
from services.gateway.handlers.sweeps import Sweeps, publish_now
from services.gateway.handlers.tasks import Asked
from services.gateway.model import Place, Retry, Sent, Snapshot, TurnedAway
from services.gateway.store import Given, Giving, Snapshots

INVALID_PARAMS = -32602


class Seal(Protocol):
    """What only a replica of ours can make, and open."""

    def seal(self, text: bytes) -> str: ...

    def open(self, sealed: str) -> bytes | None: ...


@dataclass(frozen=True)
class Rounds:
    """Later rounds of all tasks, at this replica."""

    store: Snapshots
    bus: Bus
    sweeps: Sweeps
    stamp: Stamp
    signer: Signer
    now: Callable[[], datetime]
    seal: Seal

    def required(self, snapshot: Snapshot, asked: Asked) -> str:
        """`InputRequiredResult` as JSON text: what is asked, and what to hand back with answers.

        `TurnedAway` where the client did not declare that it can be asked so.
        """
        requests = asked_of(snapshot)
        lacking = undeclared(requests, asked.manner.client)
        if lacking:
            why = "the server asks for what the client cannot do"
            raise TurnedAway(why, missing(lacking), code="missing_capability")
        given = state.state_of(snapshot, _digest(snapshot.task, asked))
        told: dict[str, Any] = {
            "resultType": "input_required",
            "requestState": self.seal.seal(given.text()),
            "_meta": {TASK_META: snapshot.task.id, STATE_META: snapshot.state.value},
        }
        if requests and isinstance(snapshot.fact, TaskInputRequired):
            told["inputRequests"] = raw(snapshot.fact.requests)
        return orjson.dumps(told).decode()

    async def resume(self, caller: Caller, task: Task, asked: Asked, retry: Retry) -> Snapshot:
        """Take the answers of a request that is made again; the task as it stands then.

        Answers that lack something change nothing: the task asks on. `TurnedAway` where the state
        is not one that this caller was given for this request, or other input was given before.
        """
        sealed = self.seal.open(retry.state)
        opened = None if sealed is None else state.read(sealed)
        if opened is None or not opened.fits(caller.principal, _digest(task, asked), self.now()):
            raise _invalid("the `requestState` is not one that you were given for this request")
        snapshot = await self.store.read(Place(caller.principal.tenant, opened.task))
        if snapshot is None:
            raise _invalid("the task that asked is not there any more; make the request anew")
        if not {*opened.keys} <= retry.answers.keys():
            return snapshot
        given = _object({key: retry.answers[key] for key in opened.keys})
        return await self._give(caller, snapshot, opened.round + 1, given)

    async def answer(
        self, caller: Caller, snapshot: Snapshot, answers: Mapping[str, str]
    ) -> Snapshot:
        """Add answers, by the upstream's own keys, to those that there are; the round goes out once
        nothing is asked any more. What nobody asks for is ignored."""
        known = asked_of(snapshot).keys() - answers_of(snapshot).keys()
        new = [(key, text) for key, text in answers.items() if key in known]
        if new:
            added = await self.store.answer(snapshot, new)
            if added is None:
                return await self.store.read(snapshot.place) or snapshot
            snapshot = added
        return await self.forward(caller, snapshot)

    async def forward(self, caller: Caller, snapshot: Snapshot) -> Snapshot:
        """Give a task its input where all of it is there: also what an upstream wants that only
        wants to be asked again, and what a replica that stopped had left to be given."""
        asks = snapshot.state is TaskState.INPUT_REQUIRED
        if not asks or asked_of(snapshot).keys() - answers_of(snapshot).keys():
            return snapshot
        given = "{" + snapshot.answers.rstrip(",") + "}"
        return await self._give(caller, snapshot, snapshot.task.round + 1, given)

    async def _give(self, caller: Caller, asked: Snapshot, round_: int, given: str) -> Snapshot:
        request = await self.store.request(asked.place)
        if request is None:  # it has ended
            return await self.store.read(asked.place) or asked
        await self.bus.check()
        old = asked.task
        digest = request_digest(old.kind, old.server, old.tool, request.arguments, given)
        task = old.model_copy(update={"round": round_, "request_digest": digest})
        fact = TaskAuthenticated(
            task=task,
            arguments=request.arguments,
            identity=sign_identity(self.signer, caller.identity(task)),
            given=given,
            client=request.client,
        )
        raw_ = self.stamp.from_journal(fact, (round_, 0), asked.fact_id or None)
        asks = asked.state is TaskState.INPUT_REQUIRED and old.round == round_ - 1
        new = Giving(asked if asks else None, task, raw_, self.now())
        match await self.store.give(new):
            case Given.TAKEN:
                if await publish_now(self.bus, raw_):
                    self.sweeps.confirmed(Sent(asked.place, round_))
                return merge.given(asked, task, new.now)
            case Given.OTHER:
                raise _invalid("other input was given to the task before")
        return await self.store.read(asked.place) or asked


def _digest(task: Task, asked: Asked) -> str:
    return state.digest_of_request(task, asked.means.route, json.loads(asked.text))


def _object(members: Mapping[str, str]) -> str:
    return "{" + ",".join(f"{json.dumps(key)}:{text}" for key, text in members.items()) + "}"


def _invalid(told: str) -> TurnedAway:
    error = {"code": INVALID_PARAMS, "message": told}
    return TurnedAway(told, orjson.dumps(error).decode(), code="bad_request")
