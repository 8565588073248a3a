"""`python -m tests.bench.costly_policy`: policy as it is, and each decision takes a while longer.

The while is a wait, one decision after the other, as a CPU would be held: on a machine of two cores
a real load would measure the cores. INTERLOCK_BENCH_DECISION_SECONDS; nothing of it is in policy.
"""

import asyncio
import os
from dataclasses import dataclass, field

from interlock.contracts.task import Task
from interlock.runtime.main import run
from services.policy import __main__ as policy
from services.policy.handlers import Bench
from services.policy.model import Ask, Ruling

COST = float(os.environ.get("INTERLOCK_BENCH_DECISION_SECONDS", "0.01"))


@dataclass(frozen=True)
class Costly(Bench):
    """Judges no faster than one task in `COST` seconds."""

    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def rule(self, task: Task, ask: Ask) -> Ruling:
        async with self.turn:
            await asyncio.sleep(COST)
        return await super().rule(task, ask)


if __name__ == "__main__":
    vars(policy)["Bench"] = Costly
    run(policy.service)
