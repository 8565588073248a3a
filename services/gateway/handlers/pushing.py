"""Asking the client of a session in the middle of its call, as servers did up to 2025-11-25."""

from contextlib import suppress
from dataclasses import dataclass, field

from interlock.contracts.task import TaskState
from interlock.errors import Unavailable
from interlock.identity.tokens import Caller
from services.gateway.decide import pushed
from services.gateway.decide.manner import Manner, asked_of
from services.gateway.decide.tell import answers_of
from services.gateway.handlers.listener import Asks
from services.gateway.handlers.rounds import Rounds
from services.gateway.model import Snapshot, Unanswered


@dataclass
class Pushing:
    """One call's. Each question is put once on its stream; a call that is joined puts it again."""

    asks: Asks
    rounds: Rounds
    caller: Caller
    manner: Manner
    _told: dict[str, int] = field(default_factory=dict)
    """The ids of questions, and in which round each was put."""

    async def __call__(self, snapshot: Snapshot) -> bool:
        """What the task asks as it stands; what nobody waits for any more is taken back."""
        if snapshot.final:
            for request_id, round_ in self._told.items():
                if round_ == snapshot.task.round:
                    await self.asks.withdraw(request_id)
        elif snapshot.state is TaskState.INPUT_REQUIRED and self.manner.may_push(snapshot):
            await self._put(snapshot)
        return True

    async def _put(self, snapshot: Snapshot) -> None:
        requests, there = asked_of(snapshot), answers_of(snapshot)
        left = [key for key in requests if key not in there]
        for key in left:
            request_id = pushed.id_of(snapshot.task, key)
            if request_id not in self._told:
                self._told[request_id] = snapshot.task.round
                await self.asks.ask(request_id, requests[key])
        if not left:
            # It only wants to be asked again, or a replica died with all the answers in hand.
            with suppress(Unavailable, Unanswered):
                await self.rounds.forward(self.caller, snapshot)
