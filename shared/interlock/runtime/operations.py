"""What operators reach at every service's door: health, status, dead letters."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from interlock.bus import Letter
from interlock.contracts.changes import DeadLetterDropped, DeadLetterRedriven
from interlock.contracts.ids import EventId, derived
from interlock.errors import Forged, Refused
from interlock.identity.asgi import answered, authenticate
from interlock.identity.caller import Caller
from interlock.identity.roles import DEFAULT_TENANT, Right, require
from interlock.runtime import letters
from interlock.runtime.bodies import Body, body
from interlock.runtime.host import Running
from interlock.runtime.pages import takes
from interlock.runtime.process import Process

AT_ONCE = 200
"""Letters that one request may move."""


class Chosen(Body):
    """Letters to move."""

    ids: tuple[EventId, ...] = Field(min_length=1, max_length=AT_ONCE)


class Operations:
    """The operators' endpoints of one running service.

    Letters are their tenant's; tenant `default`, which runs the suite, sees and moves all.
    """

    def __init__(self, running: Running, process: Process) -> None:
        self._running = running
        self._process = process
        self._name = running.service.name
        self._bus = process.bus

    async def live(self, request: Request) -> Response:
        return JSONResponse({"live": True, "service": self._name})

    async def ready(self, request: Request) -> Response:
        why = self._running.reasons()
        body = {"ready": not why, "service": self._name, "reasons": why}
        return JSONResponse(body, status_code=503 if why else 200)

    async def status(self, request: Request) -> Response:
        """Ready here, the backlog by topic (what the service scales on), and all its processes."""
        await self._caller(request, Right.STATUS_READ)
        why = self._running.reasons()
        backlog = await self._running.backlog()
        replicas = await self._running.replicas.living()
        return JSONResponse(
            {
                "service": self._name,
                "ready": not why,
                "reasons": why,
                "waiting": sum(one.waiting for one in backlog),
                "in_flight": sum(one.in_flight for one in backlog),
                "oldest_seconds": max((one.oldest_seconds for one in backlog), default=0.0),
                "dead": sum(one.dead for one in backlog),
                "topics": [_plain(one) for one in backlog],
                "replicas": [one.model_dump(mode="json") for one in replicas],
            }
        )

    async def letters(self, request: Request) -> Response:
        """A page of them, oldest first; how many match."""
        caller = await self._caller(request, Right.DEAD_READ)
        query = request.query_params
        wanted = letters.wanted(query, self._process.now())
        page = letters.Page(letters.limit(query), letters.after(query), _summary)

        def seen(letter: Letter) -> bool:
            if _sees(caller, letter) and wanted.holds(letter):
                page.add(letter)
            return False  # the page has what it shows of it

        await self._bus.letters(self._name, 1, seen)
        return JSONResponse(page.json())

    async def letter(self, request: Request) -> Response:
        """One letter with its raw body: operators only, for it may hold arguments."""
        found = await self._found(request, await self._caller(request, Right.DEAD_READ))
        body = found.raw.body.decode("utf-8", "backslashreplace")
        return JSONResponse(
            _summary(found)
            | {
                "attributes": dict(found.raw.attributes),
                "body": body,
                "traceback": found.traceback,
                "history": list(found.history),
            }
        )

    async def redrive(self, request: Request) -> Response:
        """Give it to the service again, under its own id: nothing is executed twice."""
        caller = await self._caller(request, Right.DEAD_WRITE)
        found = await self._found(request, caller)
        await self._state(DeadLetterRedriven, [found], caller)
        await self._bus.redrive(self._name, [found.letter_id])
        return JSONResponse({"redriven": found.letter_id}, status_code=202)

    async def drop(self, request: Request) -> Response:
        caller = await self._caller(request, Right.DEAD_WRITE)
        found = await self._found(request, caller)
        await self._state(DeadLetterDropped, [found], caller)
        await self._bus.drop(self._name, [found.letter_id])
        return Response(status_code=204)

    @takes(Chosen)
    async def redrive_all(self, request: Request) -> Response:
        """As `redrive`, for many; those that are not there are named."""
        moved, gone = await self._move(request, DeadLetterRedriven, self._bus.redrive)
        return JSONResponse({"redriven": moved, "gone": gone}, status_code=202)

    @takes(Chosen)
    async def drop_all(self, request: Request) -> Response:
        """As `drop`, for many; those that are not there are named."""
        moved, gone = await self._move(request, DeadLetterDropped, self._bus.drop)
        return JSONResponse({"dropped": moved, "gone": gone})

    async def _move(
        self,
        request: Request,
        message: type[DeadLetterRedriven] | type[DeadLetterDropped],
        move: Callable[[str, Collection[EventId]], Awaitable[frozenset[EventId]]],
    ) -> tuple[list[EventId], list[EventId]]:
        """Stated first, by whom: what was moved and not stated would be hidden."""
        caller = await self._caller(request, Right.DEAD_WRITE)
        ids = dict.fromkeys((await body(request, Chosen)).ids)
        found = await self._bus.letters(
            self._name,
            len(ids),
            lambda letter: letter.letter_id in ids and _sees(caller, letter),
        )
        await self._state(message, found, caller)
        moved = await move(self._name, [letter.letter_id for letter in found])
        return [one for one in ids if one in moved], [one for one in ids if one not in moved]

    async def _caller(self, request: Request, right: Right) -> Caller:
        caller = await authenticate(request, self._process.tokens)
        require(caller, right)
        return caller

    async def _found(self, request: Request, caller: Caller) -> Letter:
        letter_id = EventId(request.path_params["id"])
        found = await self._bus.letter(self._name, letter_id)
        if found is None or not _sees(caller, found):
            raise Refused(
                f"service `{self._name}` has no dead letter `{letter_id}`", code="not_found"
            )
        return found

    async def _state(
        self,
        message: type[DeadLetterRedriven] | type[DeadLetterDropped],
        found: Sequence[Letter],
        caller: Caller,
    ) -> None:
        stamp = self._running.host.stamp
        await self._bus.publish(
            [
                stamp.state(
                    message(
                        by=caller.principal,
                        tenant=caller.principal.tenant,
                        name=letter.letter_id,
                        dead_topic=letter.dead_topic,
                    ),
                    derived(letter.letter_id, message.type, letter.parked_at.isoformat()),
                    letter.letter_id,
                    None,
                )
                for letter in found
            ]
        )


def _runs_suite(caller: Caller) -> bool:
    return caller.principal.tenant == DEFAULT_TENANT


def _sees(caller: Caller, letter: Letter) -> bool:
    """A forged letter only says whose it is."""
    tenant = None if letter.code == Forged.code else letter.raw.attributes.get("ce_tenant")
    return _runs_suite(caller) or tenant == caller.principal.tenant


def _plain(one: Any) -> dict[str, Any]:
    return {name: getattr(one, name) for name in one.__dataclass_fields__}


def _summary(letter: Letter) -> dict[str, Any]:
    attributes = letter.raw.attributes
    return {
        "id": letter.letter_id,
        "topic": letter.dead_topic,
        "type": attributes.get("ce_type"),
        "subject": attributes.get("ce_subject"),
        "tenant": attributes.get("ce_tenant"),
        "code": letter.code,
        "reason": letter.reason,
        "attempts": letter.attempts,
        "parked_at": letter.parked_at.isoformat(),
    }


def operations(running: Running, process: Process) -> list[Route]:
    """The routes, relative to the service's own path."""
    door = Operations(running, process)
    return [
        Route("/health/live", answered(door.live)),
        Route("/health/ready", answered(door.ready)),
        Route("/v1/status", answered(door.status)),
        Route("/v1/dead", answered(door.letters)),
        Route("/v1/dead/redrive", answered(door.redrive_all), methods=["POST"]),
        Route("/v1/dead/drop", answered(door.drop_all), methods=["POST"]),
        Route("/v1/dead/{id}", answered(door.letter)),
        Route("/v1/dead/{id}", answered(door.drop), methods=["DELETE"]),
        Route("/v1/dead/{id}/redrive", answered(door.redrive), methods=["POST"]),
    ]
