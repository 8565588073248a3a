"""The edge of one process: every service by path, as a load balancer would route them."""

from collections.abc import Mapping, Sequence
from functools import cache
from hmac import compare_digest
from importlib.metadata import version
from typing import Any

import structlog
from prometheus_client import Counter
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from interlock.bus.document import Document
from interlock.bus.opening import places
from interlock.errors import Refused, Unavailable
from interlock.identity.asgi import answered, authenticate, problem
from interlock.identity.roles import DEFAULT_TENANT, Right, require
from interlock.runtime.host import Running
from interlock.runtime.operations import operations
from interlock.runtime.pages import pages
from interlock.runtime.process import Process

log = structlog.get_logger()
ROOT = "gateway"
"""The service that answers where no other is named."""


class ByFirstSegment:
    """Chooses an application by the first segment of the path; one look-up, however many.

    What is an application of its own at exactly one path is called `straight`: nearly all requests
    are for one of those, and a router's way there costs more than all that the door says.
    """

    def __init__(
        self,
        applications: Mapping[str, ASGIApp],
        otherwise: ASGIApp,
        requests: Counter,
        straight: Mapping[str, ASGIApp],
    ) -> None:
        self._applications = applications
        self._straight = straight
        self._otherwise = otherwise
        self._counted = cache(requests.labels)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope.get("path", "/")
        straight = self._straight.get(path) if scope["type"] == "http" else None
        segment = path.split("/", 2)[1] if path.startswith("/") else ""
        service = segment if segment in self._applications else ROOT

        async def count(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._counted(service, message["status"]).inc()
            await send(message)

        if straight is not None:
            scope["path_params"] = {}
            await straight(scope, receive, count)
            return
        await self._applications.get(segment, self._otherwise)(scope, receive, count)


class Bounded:
    """Refuses bodies beyond a limit, in bytes, however they are sent (RFC 9110 §15.5.14)."""

    def __init__(self, application: ASGIApp, limit: int) -> None:
        self._application = application
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        taken = 0

        async def bounded() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > self._limit:
                raise self._too_large()
            return message

        said = next((v for name, v in scope["headers"] if name == b"content-length"), b"0")
        if said.isdigit() and int(said) > self._limit:
            await problem(self._too_large())(scope, receive, send)
            return
        await self._application(scope, bounded, send)

    def _too_large(self) -> Refused:
        return Refused(f"the body is larger than `{self._limit}` bytes", code="too_large")


def application(running: Sequence[Running], process: Process) -> ASGIApp:
    """Everything that this process serves: its services, their operations, health and metrics."""
    applications: dict[str, ASGIApp] = {}
    straight: dict[str, ASGIApp] = {}
    root: ASGIApp = Starlette(routes=_own_routes(running, process))
    for one in running:
        name = one.service.name
        routes = [*one.parts.http, *(Mount(path, app) for path, app in one.parts.apps)]
        if name == ROOT:
            root = Starlette(routes=[*_own_routes(running, process), *routes])
            straight = _straight(one.parts.http)
            routes = []
        mounted = Starlette(routes=[Mount(f"/{name}", routes=[*operations(one, process), *routes])])
        applications[name] = Bounded(mounted, process.settings.body_limit)
    return ByFirstSegment(applications, root, process.metrics.requests, straight)


def _straight(routes: Sequence[BaseRoute]) -> dict[str, ASGIApp]:
    """Applications by path, where a route only names one for a path without variables."""
    return {
        route.path: route.app
        for route in routes
        if isinstance(route, Route) and route.app is route.endpoint and not route.param_convertors
    }


def _own_routes(running: Sequence[Running], process: Process) -> list[Route]:
    """Health, metrics and the pages: of all that runs here."""

    async def live(request: Request) -> Response:
        return PlainTextResponse("live\n")

    async def ready(request: Request) -> Response:
        return readiness({one.service.name: one.reasons() for one in running})

    async def metrics(request: Request) -> Response:
        """For scrapers with the suite's token for that, and for the suite's operators."""
        await require_scraper(request, process)
        for one in running:
            await measure(one, process)
        body, content_type = process.metrics.render()
        return Response(body, media_type=content_type)

    documented: dict[str, list[BaseRoute]] = {}
    for one in running:
        name = one.service.name
        documented.setdefault("" if name == ROOT else f"/{name}", []).extend(one.parts.http)
        documented.setdefault(f"/{name}", []).extend(operations(one, process))
    return [
        Route("/health/live", live),
        Route("/health/ready", ready),
        Route("/metrics", answered(metrics)),
        *pages(documented, lambda: _events(running, process), process.settings.url),
    ]


async def require_scraper(request: Request, process: Process) -> None:
    """`Refused` where settings keep the figures, which are of all tenants, for scrapers: unless the
    token is the scrapers', or an operator's of the tenant that runs the suite."""
    given = request.headers.get("authorization", "").removeprefix("Bearer ").encode()
    token = process.settings.metrics_token
    if token is None or compare_digest(given, token.get_secret_value().encode()):
        return
    caller = await authenticate(request, process.tokens)
    require(caller, Right.STATUS_READ)
    if caller.principal.tenant != DEFAULT_TENANT:
        raise Refused(f"figures are tenant `{DEFAULT_TENANT}`'s", code="forbidden")


def _events(running: Sequence[Running], process: Process) -> dict[str, Any]:
    groups = [one.parts.group for one in running if one.parts.group is not None]
    where = places(process.settings.bus_url, process.settings.prefix)
    return Document(groups, where, version("interlock")).json()


def readiness(reasons: Mapping[str, Sequence[str]]) -> JSONResponse:
    """200 if nothing speaks against it, else 503 with the reasons of each service."""
    bad = {name: list(why) for name, why in reasons.items() if why}
    body: dict[str, Any] = {"ready": not bad, "services": sorted(reasons)}
    if bad:
        body["reasons"] = bad
    return JSONResponse(body, status_code=503 if bad else 200)


async def measure(one: Running, process: Process) -> None:
    """Bring the gauges of a service up to date."""
    name, metrics = one.service.name, process.metrics
    metrics.ready.labels(name).set(0 if one.reasons() else 1)
    try:
        found, replicas = await one.backlog(), await one.replicas.living()
    except Unavailable as error:  # then the other figures are wanted most
        log.warning("backlog.unknown", service=name, why=error.detail)
        return
    for ready in (True, False):
        many = sum(replica.ready is ready for replica in replicas)
        metrics.replicas.labels(name, "yes" if ready else "no").set(many)
    for backlog in found:
        metrics.backlog.labels(name, backlog.topic).set(backlog.waiting)
        metrics.in_flight.labels(name, backlog.topic).set(backlog.in_flight)
        metrics.oldest.labels(name, backlog.topic).set(backlog.oldest_seconds)
        metrics.dead.labels(name, backlog.topic).set(backlog.dead)
