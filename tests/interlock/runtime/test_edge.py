"""The edge before separate processes, over real sockets."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import aiohttp
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp
from yarl import URL

from interlock.runtime.edge import Edge
from interlock.runtime.main import Server, bind


@asynccontextmanager
async def served(app: ASGIApp) -> AsyncIterator[int]:
    door = bind("127.0.0.1", 0)
    server = Server(app, drain_seconds=5)
    running = asyncio.create_task(server.serve(sockets=[door]))
    try:
        yield door.getsockname()[1]
    finally:
        server.should_exit = True
        await running
        door.close()


class Upstream:
    """Tells what it was sent, and notices who leaves."""

    def __init__(self) -> None:
        self.asked = 0
        self.left = asyncio.Event()
        self.app = Starlette(
            routes=[
                Route("/policy/echo", self.echo, methods=["GET", "POST"]),
                Route("/stream", self.stream),
            ]
        )

    async def echo(self, request: Request) -> Response:
        self.asked += 1
        body = await request.body()
        told = f"{request.url.path}?{request.url.query} {request.headers.get('x-it')} "
        return PlainTextResponse(told + body.decode(), 207, {"x-back": "yes"})

    async def stream(self, request: Request) -> Response:
        async def lines() -> AsyncIterator[str]:
            try:
                yield "first\n"
                await asyncio.Event().wait()
            finally:
                self.left.set()

        return StreamingResponse(lines())


@asynccontextmanager
async def edged(ports: Mapping[str, Sequence[int]]) -> AsyncIterator[str]:
    places = {name: [f"http://127.0.0.1:{one}" for one in of] for name, of in ports.items()}
    edge = Edge(lambda: places, "gateway")
    await edge.open()
    try:
        async with served(edge) as port:
            yield f"http://127.0.0.1:{port}"
    finally:
        await edge.close()


async def test_a_request_and_its_answer_pass_unchanged() -> None:
    upstream = Upstream()
    async with (
        served(upstream.app) as port,
        edged({"policy": [port]}) as url,
        aiohttp.ClientSession() as session,
        session.post(
            URL(f"{url}/policy/echo?a=b%2Fc", encoded=True), data="body", headers={"x-it": "1"}
        ) as answer,
    ):
        assert answer.status == 207
        assert answer.headers["x-back"] == "yes"
        assert await answer.text() == "/policy/echo?a=b%2Fc 1 body"


async def test_what_names_no_service_goes_to_the_gateway() -> None:
    upstream = Upstream()
    async with (
        served(upstream.app) as port,
        edged({"gateway": [port]}) as url,
        aiohttp.ClientSession() as session,
        session.get(f"{url}/policy/echo") as answer,
    ):
        assert answer.status == 207


async def test_a_stream_arrives_piece_by_piece_and_a_client_that_leaves_ends_it() -> None:
    upstream = Upstream()
    async with (
        served(upstream.app) as port,
        edged({"gateway": [port]}) as url,
        aiohttp.ClientSession() as session,
    ):
        async with session.get(f"{url}/stream") as answer:
            assert await answer.content.readline() == b"first\n"
        async with asyncio.timeout(5):
            await upstream.left.wait()


async def test_a_service_that_is_away_is_a_503_with_retry_after() -> None:
    door = bind("127.0.0.1", 0)
    port = door.getsockname()[1]
    door.close()
    async with (
        edged({"gateway": [port]}) as url,
        aiohttp.ClientSession() as session,
        session.get(f"{url}/v1/tasks") as answer,
    ):
        assert answer.status == 503
        assert answer.headers["Retry-After"] == "1"
        assert (await answer.json(content_type=None))["code"] == "unavailable"


async def test_the_processes_of_a_service_are_asked_in_turn() -> None:
    one, two = Upstream(), Upstream()
    async with (
        served(one.app) as first,
        served(two.app) as second,
        edged({"gateway": [], "policy": [first, second]}) as url,
        aiohttp.ClientSession() as session,
    ):
        for _ in range(10):
            async with session.post(f"{url}/policy/echo", data="body") as answer:
                assert answer.status == 207
    assert (one.asked, two.asked) == (5, 5)


async def test_a_process_that_is_gone_is_passed_over_with_the_whole_body() -> None:
    upstream, door = Upstream(), bind("127.0.0.1", 0)
    gone = door.getsockname()[1]
    door.close()
    async with (
        served(upstream.app) as port,
        edged({"gateway": [], "policy": [gone, port]}) as url,
        aiohttp.ClientSession() as session,
    ):
        for _ in range(4):
            async with session.post(f"{url}/policy/echo", data="body") as answer:
                assert (await answer.text()).endswith(" body")
    assert upstream.asked == 4


async def test_a_service_without_any_process_is_a_503() -> None:
    async with (
        edged({"gateway": [1], "policy": []}) as url,
        aiohttp.ClientSession() as session,
        session.get(f"{url}/policy/echo") as answer,
    ):
        assert answer.status == 503


@pytest.mark.parametrize(
    ("method", "status", "code", "again"),
    [("GET", 503, "unavailable", "1"), ("POST", 502, "perhaps_accepted", None)],
)
async def test_a_process_that_dies_before_it_answers_may_have_done_what_it_was_asked(
    method: str, status: int, code: str, again: str | None
) -> None:
    async def dies(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.close()

    door = bind("127.0.0.1", 0)
    async with (
        await asyncio.start_server(dies, sock=door),
        edged({"gateway": [door.getsockname()[1]]}) as url,
        aiohttp.ClientSession() as session,
        session.request(method, f"{url}/v1/tasks") as answer,
    ):
        assert (answer.status, answer.headers.get("Retry-After")) == (status, again)
        assert (await answer.json(content_type=None))["code"] == code
