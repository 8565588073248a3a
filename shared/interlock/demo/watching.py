"""Following tasks, and looking until something is there."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from interlock.demo.cast import Cast
from interlock.demo.stage import Stage, control
from interlock.demo.teller import Step, Surprise, expect
from interlock.sdk import Outcome

T = TypeVar("T")
WITHIN, GLANCE = 15.0, 0.1
"""Seconds until something must be there, and between two looks."""


async def follow(step: Step, cast: Cast, task: str) -> Outcome:
    """Tell what happens to a task until it ends."""
    step.tasks.append(task)
    handle = cast.operator.task(task)
    async for event in handle.events():
        step.event(event)
    return await handle.show()


async def held(step: Step, cast: Cast, arguments: Mapping[str, Any], answer: str) -> Outcome:
    """Let `deal-desk` ask for a discount, and `dana` answer when it is held."""
    asked = await cast.agents["deal-desk"].submit("crm", "grant_discount", arguments)
    step.tasks.append(asked.id)
    handle, answered = cast.operator.task(asked.id), False
    async for event in handle.events():
        step.event(event)
        if event.type == "task.held" and not answered:
            answered = True
            (hold,) = [
                one
                for one in (await cast.dana.request("GET", "/policy/v1/approvals"))["approvals"]
                if one["task"]["id"] == asked.id
            ]
            step.say(f"dana reads {hold['arguments']} and says: {answer}")
            said = {"reason": "as agreed on the phone", "digest": hold["digest"]}
            await cast.dana.request("POST", f"/policy/v1/tasks/{asked.id}/{answer}", said)
    expect(answered, "it was not held")
    return await handle.show()


async def until(look: Callable[[], Awaitable[T]], there: Callable[[T], bool]) -> T:
    """What `look` sees once it is `there`; `Surprise` if it does not come."""
    loop = asyncio.get_running_loop()
    end = loop.time() + WITHIN
    while not there(seen := await look()):
        if loop.time() > end:
            raise Surprise(f"after {WITHIN:.0f} s it is still {seen}")
        await asyncio.sleep(GLANCE)
    return seen


async def executed(stage: Stage, tool: str) -> int:
    """How often the CRM executed a tool."""
    count: int = (await control(stage, "GET", "calls"))["executed"].get(tool, 0)
    return count
