"""Invocation's door: the journal, single tasks, and settling what nobody knows."""

import json
from collections.abc import Sequence
from typing import Any

from pydantic import Field, JsonValue
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from interlock.contracts.outcomes import Settlement
from interlock.errors import Refused
from interlock.identity.asgi import answered, authenticate
from interlock.identity.caller import Caller
from interlock.identity.roles import Right, require
from interlock.identity.tokens import Tokens
from interlock.runtime.bodies import Body, body
from interlock.runtime.pages import takes
from services.invocation.handlers import Settling, Verdict
from services.invocation.model import State
from services.invocation.settings import Command
from services.invocation.store import Journal, Page

MOST = 1000


class Settle(Body):
    """How an unknown task had ended, and how one knows."""

    outcome: Settlement
    reason: str = Field(min_length=1, max_length=2000)
    result: JsonValue = None
    """Of a task that had succeeded: its result, where it was found."""


class Door:
    """The endpoints, relative to `/invocation`."""

    def __init__(
        self, journal: Journal, settling: Settling, commands: Sequence[Command], tokens: Tokens
    ) -> None:
        self._journal = journal
        self._settling = settling
        self._commands = commands
        self._tokens = tokens

    async def journal(self, request: Request) -> Response:
        """The tenant's tasks, newest first; `state` is `ready`, `claimed`, `waiting` or `ended`."""
        caller = await self._caller(request, Right.JOURNAL_READ)
        state, limit = _state(request), _limit(request)
        pages = await self._journal.page(caller.principal.tenant, state, limit)
        return JSONResponse({"tasks": [_shown(page) for page in pages]})

    async def task(self, request: Request) -> Response:
        """One task, with its attempts."""
        caller = await self._caller(request, Right.JOURNAL_READ)
        page = await self._settling.found(caller.principal.tenant, request.path_params["id"])
        return JSONResponse(_shown(page))

    @takes(Settle)
    async def settle(self, request: Request) -> Response:
        """Say how an `unknown` task had ended: once, and by whom."""
        caller = await self._caller(request, Right.TASKS_SETTLE)
        asked = await body(request, Settle)
        verdict = Verdict(asked.outcome, caller.principal, asked.reason, _text(asked.result))
        page = await self._settling.settle(
            caller.principal.tenant, request.path_params["id"], verdict
        )
        return JSONResponse(_shown(page))

    async def commands(self, request: Request) -> Response:
        """The stdio commands that a server may name. What they run is the operator's to know."""
        await self._caller(request, Right.SERVERS_READ)
        return JSONResponse({"commands": [command.name for command in self._commands]})

    async def _caller(self, request: Request, right: Right) -> Caller:
        caller = await authenticate(request, self._tokens)
        require(caller, right)
        return caller


def _text(result: JsonValue) -> str | None:
    """As JSON text, integers exact; `Refused` where a number is none of JSON's."""
    try:
        return (
            None if result is None else json.dumps(result, allow_nan=False, separators=(",", ":"))
        )
    except ValueError:
        raise Refused("the result holds a number that JSON has not", code="invalid") from None


def _state(request: Request) -> State | None:
    given = request.query_params.get("state")
    if given is None:
        return None
    if given not in set(State):
        known = ", ".join(f"`{state}`" for state in State)
        raise Refused(f"`{given}` is no state of the journal; there are {known}", code="invalid")
    return State(given)


def _limit(request: Request) -> int:
    given = request.query_params.get("limit", "100")
    if len(given) > 9 or not given.isdecimal() or not 1 <= int(given) <= MOST:
        raise Refused(f"`limit` is a number from 1 to {MOST}, not `{given[:100]}`", code="invalid")
    return int(given)


def _shown(page: Page) -> dict[str, Any]:
    moments = ("accepted_at", "claimed_at", "not_before", "ended_at")
    return {
        "task": page.task.model_dump(mode="json"),
        "state": page.state.value,
        "owner": page.owner,
        "attempt": page.attempt,
        "attempts": [attempt.model_dump(mode="json") for attempt in page.attempts],
        "ended_as": page.ended_as,
        "settled_as": page.settled_as,
        "published": page.published,
        "cancelling": page.cancelling,
    } | {name: at.isoformat() if (at := getattr(page, name)) else None for name in moments}


def routes(door: Door) -> list[Route]:
    """Invocation's routes."""
    return [
        Route("/v1/journal", answered(door.journal)),
        Route("/v1/tasks/{id}", answered(door.task)),
        Route("/v1/tasks/{id}/settle", answered(door.settle), methods=["POST"]),
        Route("/v1/commands", answered(door.commands)),
    ]
