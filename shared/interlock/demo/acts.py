"""The acts, in their order."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from interlock.contracts.task import TaskState
from interlock.demo.cast import Cast
from interlock.demo.client import call_over_mcp
from interlock.demo.stage import Stage, command, control
from interlock.demo.teller import Teller, expect
from interlock.demo.watching import executed, follow, held, until
from interlock.embedded import attach
from interlock.errors import Refused
from interlock.sdk import BusAgent, Submission

ENDS = {state.value for state in TaskState if state.final}
Act = Callable[[Teller, Stage, Cast], Awaitable[None]]


async def allowed(teller: Teller, stage: Stage, cast: Cast) -> None:
    """A call that policy allows."""
    with teller.step("allowed", "sales-copilot calls a tool that it may use (MCP)") as step:
        call = await call_over_mcp(
            stage.url,
            cast.keys["sales-copilot"],
            "crm__search_opportunities",
            {"query": "northwind"},
            mode="2026-07-28",
        )
        step.say(f"MCP {call.protocol}: of all tools it sees {', '.join(call.tools)}")
        hidden = {"crm__export_customers", "crm__grant_discount"} & {*call.tools}
        expect(not hidden, f"it sees {hidden}, which it may not use")
        outcome = await follow(step, cast, call.task)
        expect(outcome.succeeded, f"the call was not executed: {outcome.document}")
        expect("Fleet telemetry" in call.text, f"the CRM answered {call.text}")
        step.quote(call.text)


async def denied(teller: Teller, stage: Stage, cast: Cast) -> None:
    """A call that policy denies, with its reason."""
    with teller.step("denied", "sales-copilot asks for more than it was given (MCP)") as step:
        call = await call_over_mcp(
            stage.url, cast.keys["sales-copilot"], "crm__export_customers", {}
        )
        outcome = await follow(step, cast, call.task)
        expect(outcome.state is TaskState.DENIED, f"the task is {outcome.state}, not denied")
        expect("crm:export" in call.text, f"the denial names no permission: {call.text}")
        expect(await executed(stage, "export_customers") == 0, "the CRM executed it")
        step.quote(call.text)


async def retried(teller: Teller, stage: Stage, cast: Cast) -> None:
    """A call that fails upstream, and is repeated because that is safe."""
    with teller.step("retried", "The CRM fails twice; a search is safe to repeat (REST)") as step:
        failure = {"tool": "search_opportunities", "how": "status", "status": 502, "times": 2}
        await control(stage, "POST", "failures", failure)
        agent = cast.agents["sales-copilot"]
        handle = await agent.submit("crm", "search_opportunities", {"query": "contoso"})
        outcome = await follow(step, cast, handle.id)
        expect(outcome.succeeded, f"it was not repeated: {outcome.document}")
        attempts = outcome.document["attempts"]
        expect(len(attempts) == 3, f"there were {len(attempts)} attempts, not 3")
        step.say(f"succeeded at attempt {len(attempts)}")


async def unknown(teller: Teller, stage: Stage, cast: Cast) -> None:
    """A call whose answer is lost, and that nobody repeats."""
    title = "The CRM's answer is lost; a discount request is not safe to repeat (REST)"
    with teller.step("unknown", title) as step:
        before = await executed(stage, "request_discount")
        await control(stage, "POST", "failures", {"tool": "request_discount", "how": "drop_after"})
        wanted = {"opportunity_id": "opp-3", "percent": 5, "reason": "renewal"}
        handle = await cast.agents["deal-desk"].submit("crm", "request_discount", wanted)
        outcome = await follow(step, cast, handle.id)
        expect(outcome.state is TaskState.UNKNOWN, f"the task is {outcome.state}, not unknown")
        times = await executed(stage, "request_discount") - before
        expect(times == 1, f"the CRM executed it {times} times")
        step.say("the CRM executed it once; nobody repeats it blindly; a person looks and settles:")
        settlement = {"outcome": "succeeded", "reason": "the request is in the CRM"}
        path = f"/invocation/v1/tasks/{handle.id}/settle"
        await cast.operator.request("POST", path, settlement)
        outcome = await until(lambda: cast.operator.task(handle.id).show(), lambda it: it.succeeded)
        step.say(f"task.settled: {outcome.state}")


async def approved(teller: Teller, stage: Stage, cast: Cast) -> None:
    """A held call, approved by a person and then executed."""
    with teller.step("approved", "deal-desk grants a discount: a person must approve") as step:
        outcome = await held(step, cast, {"opportunity_id": "opp-1", "percent": 10}, "approve")
        expect(outcome.succeeded, f"the approved call was not executed: {outcome.document}")
        times = await executed(stage, "grant_discount")
        expect(times == 1, f"the CRM executed it {times} times")
        step.say("the CRM granted it once")


async def refused(teller: Teller, stage: Stage, cast: Cast) -> None:
    """A held call that a person refuses."""
    with teller.step("refused", "deal-desk wants too much, and the person refuses") as step:
        outcome = await held(step, cast, {"opportunity_id": "opp-3", "percent": 50}, "refuse")
        expect(outcome.state is TaskState.DENIED, f"the task is {outcome.state}, not denied")
        expect(await executed(stage, "grant_discount") == 1, "the CRM executed it")


async def on_the_bus(teller: Teller, stage: Stage, cast: Cast) -> None:
    """A task that an agent publishes straight to the bus."""
    with teller.step("bus", "deal-desk publishes a task straight to the bus") as step:
        url = await attach(stage.data / "valkey")
        wanted = {"opportunity_id": "opp-2", "percent": 5, "reason": "first order"}
        submission = Submission("demo-1", "crm", "request_discount", wanted)
        async with BusAgent.from_file(url, cast.bus_key) as agent:
            (task,) = await agent.submit([submission])
            expect((await agent.submit([submission])) == [task], "a repeat is another task")
        step.say(f"signed with its own key, published twice: both are task {task}")
        await cast.agents["deal-desk"].task(task).accepted()
        outcome = await follow(step, cast, task)
        expect(outcome.succeeded, f"it was not executed: {outcome.document}")
        calls = (await control(stage, "GET", "calls"))["by_task"]
        expect(calls.get(task) == 1, f"the CRM executed it {calls.get(task)} times")
        step.say("the CRM executed it once")


async def legacy(teller: Teller, stage: Stage, cast: Cast) -> None:
    """A client of the protocol before, and a server over stdio."""
    title = "An MCP client of 2025 asks mcp-server-time, a process over stdio"
    with teller.step("legacy", title) as step:
        call = await call_over_mcp(
            stage.url,
            cast.keys["sales-copilot"],
            "clock__get_current_time",
            {"timezone": "Europe/Lisbon"},
            mode="legacy",
        )
        step.say(f"MCP {call.protocol}")
        expect(call.protocol == "2025-11-25", f"it was MCP {call.protocol}")
        outcome = await follow(step, cast, call.task)
        expect(outcome.succeeded and "datetime" in call.text, f"the server answered {call.text}")
        step.quote(call.text)


async def git(teller: Teller, stage: Stage, cast: Cast) -> None:
    """Another server over stdio."""
    with teller.step("git", "sales-copilot reads a git log through mcp-server-git") as step:
        call = await call_over_mcp(
            stage.url,
            cast.keys["sales-copilot"],
            "repo__git_log",
            {"repo_path": str(stage.repository)},
        )
        outcome = await follow(step, cast, call.task)
        expect(outcome.succeeded and "Add a runbook" in call.text, f"git answered {call.text}")
        step.quote("\n".join(line for line in call.text.splitlines() if "Message" in line))


async def audited(teller: Teller, stage: Stage, cast: Cast) -> None:
    """The trail of each task, and the proof that the ledger is whole."""
    with teller.step("audit", "The ledger has it all, and proves it") as step:
        for name, task in list(teller.tasks):
            trail = await until(partial(_trail, cast, task), _is_whole)
            step.say(f"{name:<9} {' → '.join(trail)}")
        report = await until(
            lambda: cast.operator.request("POST", "/audit/v1/verify", {}), _is_proven
        )
        step.facts["report"] = report
        code, said = await command(stage, "audit", "verify")
        step.say("interlock audit verify (needs the ledger, the anchor and a public key only):")
        step.quote(said)
        expect(code == 0 and report["anchored"], "the ledger does not hold")


async def _trail(cast: Cast, task: str) -> list[str]:
    """Who stated what of a task, each after its cause; empty while nothing is recorded."""
    try:
        records = (await cast.operator.request("GET", f"/audit/v1/tasks/{task}"))["records"]
    except Refused:
        return []
    return [f"{one['source']} {one['type'].split('.')[-2]}" for one in records]


def _is_whole(trail: list[str]) -> bool:
    """Whether how the task ended is recorded."""
    return any(one.split()[-1] in ENDS for one in trail)


def _is_proven(report: Mapping[str, Any]) -> bool:
    """Whether every record is behind a signed checkpoint and every task has its end."""
    return not report["ok"] or not (report["unproven"] or report["tasks"]["open"])


ACTS: tuple[Act, ...] = (
    allowed,
    denied,
    retried,
    unknown,
    approved,
    refused,
    on_the_bus,
    legacy,
    git,
    audited,
)
