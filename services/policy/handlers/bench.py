"""Where tasks are judged: the catalogue, the policies in force and the task come together."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from interlock.contracts.access import PolicySetRecord
from interlock.contracts.catalogue import ServerRecord
from interlock.contracts.task import Task
from interlock.errors import Refused
from interlock.policy import Judgement, Verdict, judge
from interlock.state import View
from services.policy import decide
from services.policy.handlers.rulebook import Rulebook
from services.policy.model import Ask, Ruling


@dataclass(frozen=True)
class Bench:
    """Judges under what is in force at the moment."""

    catalogue: View[ServerRecord]
    rulebook: Rulebook
    now: Callable[[], datetime]
    published: View[PolicySetRecord]
    """Policy sets that any replica published, this one among them."""

    async def rule(self, task: Task, ask: Ask) -> Ruling:
        """The judgement; a *no* only after one more look at what it rests on."""
        await self.rulebook.keep_up(self.published.version)
        ruling, seen = self._rule(task, ask), self._seen(task)
        if ruling.judgement.verdict is Verdict.DENY:
            await self.confirm()
            if self._seen(task) != seen:
                return self._rule(task, ask)
        return ruling

    async def confirm(self) -> None:
        """See the newest of all that judgements rest on; `Unavailable` where that fails."""
        await self.catalogue.confirm()
        await self.rulebook.refresh()

    def _seen(self, task: Task) -> tuple[int, int]:
        return self.catalogue.version, self.rulebook.newest(task.tenant).record.version

    def _rule(self, task: Task, ask: Ask) -> Ruling:
        server = self.catalogue.get(task.tenant, task.server)
        tool = decide.tool_of(task, server)
        version = self.rulebook.newest(task.tenant).record.version
        reason = decide.not_offered(task, server, tool)
        if reason is not None:
            return Ruling(Judgement(Verdict.DENY, version, code="not_offered", reason=reason))
        try:
            loaded = self.rulebook.of(task.tenant)
        except Refused as error:
            return Ruling(Judgement(Verdict.DENY, version, code=error.code, reason=error.detail))
        question = decide.question(task, ask, server, tool, self.now())
        return Ruling(judge(loaded, question), None if tool is None else tool.digest)
