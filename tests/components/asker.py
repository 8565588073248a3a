"""An MCP server that asks before it acts and writes down what it does: over HTTP, or on stdio.

`python -m tests.components.asker --log FILE [--port 9104 [--handshake-only] | --stdio]`. The log is
one JSON object a line, so that it outlives whoever is killed. How many minutes have gone by, is in
`FILE.clock`: a tool that takes an hour takes as long as a test wants.
"""

import asyncio
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.types import ElicitRequest, ElicitRequestFormParams, InputRequiredResult

from interlock.contracts.upstream import TASK_ID_META
from interlock.samples.crm.app import Door
from interlock.samples.crm.trouble import Trouble
from interlock.samples.serve import parser, serve
from tests.components.suite import upstream

HOUR = 60
"""Minutes."""
GLANCE = 0.02
"""Seconds between two looks at the clock."""
SURE: dict[str, Any] = {"type": "object", "properties": {"sure": {"type": "boolean"}}}


@dataclass(frozen=True)
class Log:
    """What happened at a server."""

    path: Path

    def write(self, what: str, ctx: Context) -> None:
        """It happened, for a task, now."""
        meta: Any = ctx.request_context.meta or {}
        entry = {"what": what, "task": str(meta.get(TASK_ID_META, "")), "at": time.time()}
        with self.path.open("a") as file:
            file.write(json.dumps(entry) + "\n")

    def times(self, what: str, task: str) -> list[float]:
        """When that happened for the task, on the machine's clock."""
        return [one["at"] for one in self._entries(what) if one["task"] == task]

    def tasks(self, what: str) -> list[str]:
        """For which tasks that happened."""
        return [one["task"] for one in self._entries(what)]

    def _entries(self, what: str) -> list[dict[str, Any]]:
        text = self.path.read_text() if self.path.exists() else ""
        return [one for one in map(json.loads, text.splitlines()) if one["what"] == what]

    @property
    def minutes(self) -> int:
        """How many have gone by."""
        clock = self.path.with_suffix(".clock")
        return int(clock.read_text() or 0) if clock.exists() else 0

    def tell_time(self, minutes: int) -> None:
        """So many have gone by."""
        later = self.path.with_suffix(".next")
        later.write_text(str(minutes))
        later.replace(self.path.with_suffix(".clock"))


@dataclass(frozen=True)
class Asker:
    """Its tools."""

    log: Log

    def server(self) -> MCPServer:
        """All of them."""
        server = MCPServer("asker", version="1.0.0")
        for tool in (self.transfer, self.transfer_live, self.hold, self.report):
            server.tool(structured_output=False)(tool)
        return server

    async def transfer(self, ctx: Context, amount: int) -> str | InputRequiredResult:
        """Asks whether that is meant, as servers do since 2026-07-28; pays once that is said."""
        if "sure" not in (ctx.input_responses or {}):
            self.log.write("asked", ctx)
            question = ElicitRequestFormParams(message="sure?", requested_schema=SURE)
            return InputRequiredResult(input_requests={"sure": ElicitRequest(params=question)})
        self.log.write("paid", ctx)
        return f"paid {amount}"

    async def transfer_live(self, ctx: Context, amount: int) -> str:
        """Asks in the middle of its call, as servers did before."""
        self.log.write("asked", ctx)
        answer = await ctx.session.elicit_form("sure?", SURE, related_request_id=ctx.request_id)
        self.log.write("paid", ctx)
        return f"paid {amount}: {answer.action}"

    async def hold(self, ctx: Context, about: str = "") -> str:
        """Goes on until it is cancelled."""
        self.log.write("begun", ctx)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.log.write("cancelled", ctx)
            raise
        return "never"

    async def report(self, ctx: Context, about: str = "") -> str:
        """Takes an hour, and tells of each minute."""
        self.log.write("begun", ctx)
        for minute in range(1, HOUR + 1):
            while self.log.minutes < minute:  # noqa: ASYNC110 another process tells the time
                await asyncio.sleep(GLANCE)
            await ctx.report_progress(minute, HOUR, f"minute {minute} of {HOUR}")
        self.log.write("done", ctx)
        return f"reported {about}"


@contextmanager
def asking_server(log: Path, *options: str) -> Iterator[str]:
    """The server as a process of its own; its URL."""
    with upstream("tests.components.asker", "--log", str(log), *options) as url:
        yield url


def main(given: Sequence[str] | None = None) -> None:
    """Serve until told to stop."""
    options = parser("asker", 9104)
    options.add_argument("--log", type=Path, required=True)
    options.add_argument("--handshake-only", action="store_true")
    options.add_argument("--stdio", action="store_true")
    chosen = options.parse_args(given)
    server = Asker(Log(chosen.log)).server()
    if chosen.stdio:
        asyncio.run(server.run_stdio_async())
        return
    serve(Door(server.streamable_http_app(), Trouble(), chosen.handshake_only), chosen)


if __name__ == "__main__":
    main()
