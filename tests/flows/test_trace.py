"""One OpenTelemetry trace per task: across every hop, and into the upstream."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from interlock.runtime.main import bind
from interlock.samples.echo import echo_app
from interlock.sdk import Interlock
from tests.components.suite import Suite, suite

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SERVER = {
    "name": "echo",
    "capability": "says what it was told",
    "owner_team": "tests",
    "technical_owner": "nobody",
    "environment": "development",
    "risk": "low",
}


class Collector:
    """Takes spans as any OpenTelemetry collector does (OTLP over HTTP)."""

    def __init__(self) -> None:
        self.spans: dict[str, list[Span]] = {}
        """By the scope that made them."""
        self.more = asyncio.Event()
        self.app = Starlette(routes=[Route("/v1/traces", self.take, methods=["POST"])])

    async def take(self, request: Request) -> Response:
        told = ExportTraceServiceRequest.FromString(await request.body())
        for resource in told.resource_spans:
            for scope in resource.scope_spans:
                self.spans.setdefault(scope.scope.name, []).extend(scope.spans)
        self.more.set()
        return Response(b"", media_type="application/x-protobuf")

    def of(self, trace: str) -> dict[str, list[Span]]:
        """Spans of one trace, by the service that made them."""
        return {
            scope.removeprefix("interlock."): found
            for scope, spans in self.spans.items()
            if (found := [span for span in spans if span.trace_id.hex() == trace])
        }


class Overheard:
    """An upstream whose requests are kept."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.requests: list[dict[str, Any]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = b""

        async def listen() -> Message:
            nonlocal body
            message = await receive()
            body += message.get("body", b"")
            if body and not message.get("more_body"):
                self.requests.append(json.loads(body))
            return message

        await self._app(scope, listen, send)

    def metas(self) -> list[dict[str, Any]]:
        return [r["params"]["_meta"] for r in self.requests if r["method"] == "tools/call"]


class Server(uvicorn.Server):
    """Serves beside the tests, which keep their signals; the SDK's servers need its lifespan."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def served(app: ASGIApp) -> AsyncIterator[str]:
    door = bind("127.0.0.1", 0)
    server = Server(uvicorn.Config(app, log_config=None, ws="none"))
    running = asyncio.create_task(server.serve(sockets=[door]))
    try:
        yield f"http://127.0.0.1:{door.getsockname()[1]}"
    finally:
        server.should_exit = True
        await running
        door.close()


def prepare(running: Suite, url: str) -> str:
    """Register the upstream and an agent; the agent's key."""
    connection = {"transport": "streamable-http", "url": f"{url}/mcp"}
    told = running.ask("POST", "/registry/v1/servers", SERVER | {"connection": connection})
    assert told["inspected"], told["inspect_error"]
    for state in ("submitted", "security_review", "approved_dev"):
        running.ask("POST", "/registry/v1/servers/echo/move", {"to": state})
    running.ask("POST", "/auth/v1/agents", {"name": "copilot"})
    key: str = running.ask("POST", "/auth/v1/keys", {"agent": "copilot"})["key"]
    return key


@pytest.mark.promise("traced")
async def test_one_trace_covers_the_door_every_service_and_the_upstream(tmp_path: Path) -> None:
    collector, upstream = Collector(), Overheard(echo_app())
    async with served(collector.app) as otlp, served(upstream) as url:
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": otlp, "OTEL_BSP_SCHEDULE_DELAY": "100"}
        context = suite(tmp_path / "data", env=env)
        running = await asyncio.to_thread(context.__enter__)
        try:
            key = await asyncio.to_thread(prepare, running, url)
            async with Interlock(running.url, key) as client:
                outcome = await client.request(
                    "POST",
                    "/v1/tasks",
                    {"server": "echo", "tool": "echo", "arguments": {"text": "hello"}},
                    {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01", "Prefer": "wait=20"},
                )
                assert outcome["state"] == "succeeded"
            async with asyncio.timeout(20):
                while not {"gateway", "policy", "invocation"} <= collector.of(TRACE).keys():
                    collector.more.clear()
                    await collector.more.wait()
        finally:
            await asyncio.to_thread(context.__exit__, None, None, None)

    spans = collector.of(TRACE)
    (door,) = (span for span in spans["gateway"] if span.kind == Span.SPAN_KIND_SERVER)
    assert door.parent_span_id.hex() == "00f067aa0ba902b7"
    assert {span.parent_span_id for span in spans["policy"]} == {door.span_id}
    (meta,) = upstream.metas()
    version, trace, parent, _ = meta["traceparent"].split("-")
    assert (version, trace) == ("00", TRACE)
    assert parent in {span.span_id.hex() for span in spans["invocation"]}
