"""REST: `/v1/tasks` and `/v1/tools`."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from opentelemetry.trace import SpanKind
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from interlock.contracts.task import NO_CLIENT, Client, TaskKind
from interlock.errors import InterlockError, Refused, Unsure
from interlock.identity.asgi import authenticate, preferred_wait
from interlock.identity.tokens import Caller, Tokens
from interlock.runtime.pages import takes
from interlock.telemetry.traces import Traces, traceparent_of
from services.gateway.decide import admit
from services.gateway.decide.tell import document
from services.gateway.decide.text import cut, members
from services.gateway.handlers.inputs import Inputs
from services.gateway.handlers.refusals import Refusals
from services.gateway.handlers.tasks import Asked, Tasks
from services.gateway.handlers.waiting import Waiters, Watch, until_final
from services.gateway.http.answers import answer, refused
from services.gateway.http.bodies import NewInput, NewTask, read_as
from services.gateway.http.body import Bodies, parse_request
from services.gateway.http.stream import MilestoneStream, StreamLimits
from services.gateway.model import Feature, Means, Offer, Place, Snapshot
from services.gateway.settings import Settings

Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class Door:
    """The endpoints."""

    tasks: Tasks
    inputs: Inputs
    waiters: Waiters
    refusals: Refusals
    tokens: Tokens
    traces: Traces
    settings: Settings
    bodies: Bodies

    @takes(NewTask)
    async def submit(self, request: Request) -> Response:
        """Ask for a call of a tool, a read, a prompt or a completion.

        202 with the task's URL; with `Prefer: wait=N` 200 with the outcome if it comes in N
        seconds. With an `Idempotency-Key` a repeat is the same task. What its server may ask for
        while it runs is what `capabilities` declare.
        """
        caller = await self._caller(request)
        body = await self.bodies.read(request)
        with self.bodies.held(body):
            return await self._submit(caller, request, body)

    async def _submit(self, caller: Caller, request: Request, body: bytes) -> Response:
        given, text = parse_request(body)
        new = read_as(NewTask, given)
        request.state.about = (new.server, new.tool)
        offer = await self._wanted(caller, new)
        with self.traces.span(
            "gateway",
            f"submit {offer.qualified}",
            request.headers.get("traceparent"),
            SpanKind.SERVER,
        ) as span:
            asked = self._asked(request, new, text, offer)
            task = self.tasks.task(caller, asked)
            span.set_attribute("interlock.task.id", task.id)
            with self.waiters.watch(Place(task.tenant, task.id)) as watch:
                try:
                    snapshot = await self.tasks.accept(caller, task, asked)
                except Unsure as error:
                    url = {"url": self.tasks.url_of(task), "id": task.id}
                    raise Unsure(error.detail, data=url) from None
                return await self._shown(request, watch, snapshot, 202)

    async def _wanted(self, caller: Caller, new: NewTask) -> Offer | Feature:
        tenant, visible = caller.principal.tenant, self.tasks.visible
        if new.tool is not None:
            return await visible.find(tenant, new.server, new.tool)
        kind = TaskKind(new.kind)
        name = admit.feature_name(kind, new.arguments)
        return Feature(await visible.server(tenant, new.server), kind, name)

    def _asked(self, request: Request, new: NewTask, text: str, offer: Offer | Feature) -> Asked:
        longest = self.settings.task_deadline_seconds
        key = request.headers.get("idempotency-key")
        if key is not None and not 0 < len(key) <= 255:
            raise Refused("an `Idempotency-Key` has 1 to 255 characters", code="invalid")
        return Asked(
            offer=offer,
            arguments=new.arguments,
            text=cut(text, "arguments") or "{}",
            within=timedelta(seconds=min(new.deadline_seconds or longest, longest)),
            key=key,
            traceparent=traceparent_of(),
            means=Means(_client(text)),
        )

    async def show(self, request: Request) -> Response:
        """A task as it stands; with `Prefer: wait=N` after its end, or N seconds."""
        caller = await self._caller(request)
        snapshot = await self.tasks.show(caller, request.path_params["id"])
        return await self._waited(caller, request, snapshot, 200)

    @takes(NewInput)
    async def give(self, request: Request) -> Response:
        """Give a task that is `input_required` what it asks for in `requests`, or part of it.

        202 with the task, which goes on once nothing lacks. 404 where it is not the caller's own;
        409 `conflict` where it does not ask, asks in another `round`, or was given another answer
        before; 422 `invalid` names what it does not ask for, and what it does. `Prefer: wait=N` as
        for a submission.
        """
        caller = await self._caller(request)
        body = await self.bodies.read(request)
        given, text = parse_request(body)
        new = read_as(NewInput, given)
        exact = cut(text, "responses") or "{}"
        responses = {key: exact[slice(*span)] for key, span in members(exact).items()}
        task_id = request.path_params["id"]
        snapshot = await self.inputs.give(caller, task_id, responses, new.round)
        return await self._waited(caller, request, snapshot, 202)

    async def list(self, request: Request) -> Response:
        """The caller's own tasks, the newest first, without results; `limit` of at most 200."""
        caller = await self._caller(request)
        asked = request.query_params.get("limit", "50")
        if len(asked) > 9 or not asked.isdecimal() or not 1 <= int(asked) <= 200:
            raise Refused("`limit` is a number from `1` to `200`", code="invalid")
        found = await self.tasks.recent(caller, int(asked))
        return answer(
            {"tasks": [document(one, self.tasks.url_of(one.task), whole=False) for one in found]}
        )

    async def cancel(self, request: Request) -> Response:
        """Ask for a task's end: 202, or 200 where it has ended already."""
        caller = await self._caller(request)
        said = request.query_params.get("reason", "")[:500]
        reason = f"asked for over REST: {said}" if said else "asked for over REST"
        snapshot = await self.tasks.cancel(caller, request.path_params["id"], reason)
        return answer(self._document(snapshot), 200 if snapshot.final else 202)

    async def events(self, request: Request) -> Response:
        """Milestones as server-sent events, from the first on or after `Last-Event-ID`."""
        caller = await self._caller(request)
        snapshot = await self.tasks.show(caller, request.path_params["id"])
        last = request.headers.get("last-event-id") or request.query_params.get("after", "0")
        if not last.isdecimal() or len(last) > 15:
            raise Refused("`Last-Event-ID` is the `id` of an event of this stream", code="invalid")
        if snapshot.final and not await self.tasks.store.log(snapshot.place, int(last)):
            return Response(status_code=204)  # to an EventSource: do not come again
        limits = StreamLimits(
            self.settings.keep_alive_seconds,
            self.settings.slow_reader_seconds,
            lambda: self.tokens.stands(caller),
        )
        return MilestoneStream(self.tasks.store, self.waiters, snapshot.place, int(last), limits)

    async def tools(self, request: Request) -> Response:
        """The tools that the caller may use."""
        caller = await self._caller(request)
        return answer({"tools": [self._tool(one) for one in self.tasks.visible.of(caller)]})

    def _tool(self, offer: Offer) -> dict[str, Any]:
        server, tool = offer.server, offer.tool
        definition = self.tasks.visible.tool(offer).definition
        return {
            "name": offer.qualified,
            "server": server.name,
            "tool": tool.name,
            "title": tool.title,
            "description": tool.description or definition.get("description", ""),
            "input_schema": definition.get("inputSchema", {}),
            "required_scopes": offer.scopes,
            "risk": tool.risk or server.risk,
            "environment": server.environment,
            "read_only": tool.read_only,
            "repeatable": tool.repeatable,
        }

    async def _waited(
        self, caller: Caller, request: Request, snapshot: Snapshot, status: int
    ) -> Response:
        with self.waiters.watch(snapshot.place) as watch:
            if preferred_wait(request) and not snapshot.final:
                await self.tasks.store.watch(snapshot.place)
                snapshot = await self.tasks.show(caller, snapshot.task.id)
            return await self._shown(request, watch, snapshot, status)

    async def _shown(
        self, request: Request, watch: Watch, snapshot: Snapshot, status: int
    ) -> Response:
        headers = {"Location": self.tasks.url_of(snapshot.task)} if status == 202 else {}
        watch.begin(snapshot)
        wanted = preferred_wait(request)
        if wanted is not None:
            wait = min(wanted, self.settings.wait_limit)
            headers["Preference-Applied"] = f"wait={int(wait)}"
            snapshot = await until_final(
                watch, self.waiters, self.tasks.store, lambda standing: wait
            )
            self.tokens.require_standing(request.state.caller)
        status = 200 if snapshot.final else status
        return answer(self._document(snapshot), status, headers)

    def _document(self, snapshot: Snapshot) -> dict[str, Any]:
        return document(snapshot, self.tasks.url_of(snapshot.task))

    async def _caller(self, request: Request) -> Caller:
        return await authenticate(request, self.tokens)

    def answered(self, endpoint: Endpoint) -> Endpoint:
        """Errors raised on purpose are answered as problem documents, and stated to audit."""

        async def answer_to(request: Request) -> Response:
            try:
                return await endpoint(request)
            except InterlockError as error:
                if isinstance(error, Refused):
                    caller = getattr(request.state, "caller", None)
                    about = getattr(request.state, "about", (None, None))
                    self.refusals.note(error, caller, *about)
                return refused(error)

        answer_to.__wrapped__ = endpoint  # type: ignore[attr-defined]  # for the API's page
        return answer_to


def _client(text: str) -> Client:
    """What the submission declares, exactly as it is written there."""
    exact = cut(text, "capabilities") or "{}"
    return Client(capabilities=exact) if members(exact) else NO_CLIENT


def routes(door: Door) -> list[Route]:
    """The gateway's REST routes."""
    one = "/v1/tasks/{id}"
    return [
        Route("/v1/tasks", door.answered(door.submit), methods=["POST"]),
        Route("/v1/tasks", door.answered(door.list)),
        Route(one, door.answered(door.show)),
        Route(one, door.answered(door.cancel), methods=["DELETE"]),
        Route(f"{one}/input", door.answered(door.give), methods=["POST"]),
        Route(f"{one}/events", door.answered(door.events)),
        Route("/v1/tools", door.answered(door.tools)),
    ]
