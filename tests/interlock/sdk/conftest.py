"""A gateway that says what a test wants, and a real one."""

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.components.world import World, world

TestServer.__test__ = False  # its name looks like a test's


@dataclass
class Answer:
    """What the next request gets."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    stream: str | None = None
    """Server-sent events; then the connection breaks off if `breaks`."""
    breaks: bool = False


@dataclass
class Gateway:
    """Answers in the order given, and remembers what it was asked."""

    url: str = ""
    answers: list[Answer] = field(default_factory=list)
    asked: list[tuple[str, str, dict[str, str], str]] = field(default_factory=list)

    def will(self, *answers: Answer) -> None:
        self.answers += answers

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.text()
        self.asked.append((request.method, request.path, {**request.headers}, body))
        answer = self.answers.pop(0)
        if answer.stream is None:
            text = json.dumps(answer.body) if answer.body is not None else ""
            return web.Response(status=answer.status, text=text, headers=answer.headers)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(answer.stream.encode())
        if answer.breaks:
            assert request.transport is not None
            request.transport.close()
        return response


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    scripted = Gateway()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", scripted.handle)
    async with TestServer(app) as server:
        scripted.url = str(server.make_url("")).rstrip("/")
        yield scripted


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A running suite with the CRM and its agent."""
    with world(tmp_path_factory.mktemp("sdk")) as running:
        yield running
