"""What an upstream says to whoever called while the call goes on: questions, and its log."""

import asyncio
import json
from typing import Any

from services.invocation import decide
from services.invocation.clients import AskRefused, OnAsk, OnLog
from services.invocation.handlers.around import Around
from services.invocation.handlers.ends import Ends
from services.invocation.handlers.holding import Ask, Holding
from services.invocation.handlers.room import Room


class Asking:
    """Parks calls while somebody thinks: their lease goes on, their room is free for others."""

    def __init__(self, around: Around, ends: Ends, room: Room) -> None:
        self._around = around
        self._ends = ends
        self._room = room

    def questions(self, holding: Holding) -> OnAsk:
        """Puts questions to whoever called; each is answered by an input that policy granted."""

        async def ask(method: str, params: dict[str, Any]) -> dict[str, Any]:
            request = {"method": method, "params": params}
            lacking = decide.undeclared(holding.job.client, request)
            if lacking is not None:
                raise AskRefused(f"the client did not declare `{lacking}`")
            text = json.dumps(request, ensure_ascii=False, separators=(",", ":"))
            if len(text.encode()) > self._around.limits.result_bytes:
                raise AskRefused("the question is too large to be passed on")
            key = f"input-{holding.job.attempt}-{holding.number()}"
            answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            holding.asks[key] = Ask(text, answer)
            self._room.release(holding.job.upstream)
            try:
                await self.ask_again(holding)
                given = await answer
            finally:
                self._room.fill(holding.job.upstream)
                holding.asks.pop(key, None)
            if not isinstance(given, dict):
                said = given if isinstance(given, str) else f"the answer to `{method}` is no object"
                raise AskRefused(said)
            return given

        return ask

    async def ask_again(self, holding: Holding) -> None:
        """Ask for everything that was not answered yet, in the task's present round."""
        asked = (f"{json.dumps(key)}:{ask.request}" for key, ask in holding.asks.items())
        untold, holding.untold = holding.untold, []
        requests = "{" + ",".join(asked) + "}"
        written = await self._ends.ask(holding.job, requests, holding.number(), untold)
        if not written.done:  # it is to be stopped, or is not ours any more
            holding.stop(written.control)

    def log(self, holding: Holding) -> OnLog:
        """Passes on what the upstream logs, as far as the client wants to know."""
        logged = 0

        async def told(level: object, entry: str) -> None:
            nonlocal logged
            if logged >= decide.MOST_LOGGED or not decide.wants_logged(holding.job.client, level):
                return
            logged += 1
            untold, holding.untold = holding.untold, []
            self._ends.logged(holding.job, decide.entry(entry), holding.number(), untold)

        return told
