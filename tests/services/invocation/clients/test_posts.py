"""Connections that are kept for plain POSTs: how an answer ends, and whether another may follow."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from interlock.testing import build
from services.invocation.clients import LOOPBACK, AddressGuard
from services.invocation.clients.posts import Outgoing, Posts, Unreachable, target_of

PER_HOST = 2
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
async def posts() -> AsyncIterator[Posts]:
    made = Posts(AddressGuard(LOOPBACK), PER_HOST)
    yield made
    await made.close()


async def ask(posts: Posts, url: str, seconds: float = 5.0) -> bytes:
    request = Outgoing(url, {"Accept": "*/*"}, b"{}")
    async with posts.wire(request.place, seconds) as wire:
        answer = wire.post(request.text)
        await answer.head()
        return await answer.read()


class Server:
    """Says the same to each request; `then` tells whether the connection goes on."""

    def __init__(self, answer: bytes, *, then_closes: bool = False) -> None:
        self.connections = self.requests = 0
        self.ended = asyncio.Event()
        self._answer = answer
        self._then_closes = then_closes

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while await heard(reader):
            self.requests += 1
            writer.write(self._answer)
            if self._then_closes:
                break
        writer.close()
        self.ended.set()


async def heard(reader: asyncio.StreamReader) -> bool:
    try:
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(2)
    except (asyncio.IncompleteReadError, ConnectionError):
        return False
    return True


@asynccontextmanager
async def served(serve: Serve, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    tasks: set[asyncio.Task[None]] = set()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        finally:
            writer.close()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.create_task(one(reader, writer)))

    server = await asyncio.start_server(begin, "127.0.0.1", 0, ssl=tls)
    scheme = "https" if tls else "http"
    try:
        yield f"{scheme}://localhost:{server.sockets[0].getsockname()[1]}/mcp"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize(
    "answer",
    [
        OK,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1 \r\nk\r\n0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\n" + OK,
        b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    ],
    ids=["length", "chunks", "announced", "bare line ends"],
)
async def test_an_answer_ends_where_it_says_and_its_connection_is_kept(
    posts: Posts, answer: bytes
) -> None:
    server = Server(answer)
    async with served(server) as url:
        assert [await ask(posts, url) for _ in range(3)] == [b"ok"] * 3
        assert (server.connections, server.requests) == (1, 3)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        OK + OK,
    ],
    ids=["said", "HTTP/1.0", "more than was asked for"],
)
async def test_a_connection_is_not_used_again_where_that_cannot_be(
    posts: Posts, answer: bytes
) -> None:
    server = Server(answer)
    async with served(server) as url:
        assert [await ask(posts, url) for _ in range(2)] == [b"ok"] * 2
        assert server.connections == 2


async def test_a_body_without_a_length_ends_with_its_connection(posts: Posts) -> None:
    async with served(Server(b"HTTP/1.1 200 OK\r\n\r\nok", then_closes=True)) as url:
        assert await ask(posts, url) == b"ok"


async def test_a_body_that_ends_before_its_length_is_none(posts: Posts) -> None:
    async with served(Server(OK[:-1], then_closes=True)) as url:
        with pytest.raises(aiohttp.ClientPayloadError):
            await ask(posts, url)


@pytest.mark.parametrize(
    "answer",
    [b"SSH-2.0-OpenSSH_9.2\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000],
    ids=["another protocol", "an endless head"],
)
async def test_what_is_no_answer_of_http_is_not_waited_for(posts: Posts, answer: bytes) -> None:
    async with served(Server(answer)) as url:
        with pytest.raises(aiohttp.ClientConnectionError):
            await ask(posts, url)


async def test_what_comes_unasked_ends_a_connection_that_rests(posts: Posts) -> None:
    writers: list[asyncio.StreamWriter] = []
    gone = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        while await heard(reader):
            writer.write(OK)
        gone.set()

    async with served(serve) as url, asyncio.timeout(10):
        await ask(posts, url)
        writers[0].write(OK)
        await gone.wait()
        assert await ask(posts, url) == b"ok"
        assert len(writers) == 2


async def test_more_than_a_place_may_have_wait_for_their_turn(posts: Posts) -> None:
    running = most = 0
    full, go_on = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal running, most
        while await heard(reader):
            running, most = running + 1, max(most, running + 1)
            if running == PER_HOST:
                full.set()
            await go_on.wait()
            running -= 1
            writer.write(OK)

    async with served(serve) as url, asyncio.timeout(20):
        asked = [asyncio.create_task(ask(posts, url)) for _ in range(7)]
        await full.wait()
        with pytest.raises(aiohttp.ConnectionTimeoutError):
            await ask(posts, url, seconds=0.1)
        asked[-1].cancel()  # one who waits goes away
        go_on.set()
        assert await asyncio.gather(*asked[:-1]) == [b"ok"] * 6
        assert most == PER_HOST


async def test_who_leaves_in_the_middle_takes_the_connection_along(posts: Posts) -> None:
    server = Server(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok")
    async with served(server) as url, asyncio.timeout(10):
        for _ in range(PER_HOST + 1):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await ask(posts, url)
        await server.ended.wait()


async def test_nothing_is_open_after_the_close() -> None:
    posts, server = Posts(AddressGuard(LOOPBACK), PER_HOST), Server(OK)
    async with served(server) as url, asyncio.timeout(10):
        await ask(posts, url)
        await posts.close()
        await server.ended.wait()


def test_a_header_cannot_become_two() -> None:
    with pytest.raises(ValueError, match="`A` has a line break"):
        Outgoing("http://crm.example/mcp", {"A": "b\r\nC: d"}, b"")


@pytest.mark.parametrize(
    ("url", "place", "head"),
    [
        (
            "http://crm.example",
            (False, "crm.example", 80),
            "POST / HTTP/1.1\r\nHost: crm.example\r\n",
        ),
        (
            "https://[::1]:8443/a b?c=d",
            (True, "::1", 8443),
            "POST /a%20b?c=d HTTP/1.1\r\nHost: [::1]:8443\r\n",
        ),
        (
            "http://ann:secret@crm.example/mcp#x",
            (False, "crm.example", 80),
            "POST /mcp HTTP/1.1\r\nHost: crm.example\r\nAuthorization: Basic YW5uOnNlY3JldA==\r\n",
        ),
    ],
)
def test_a_url_says_where_and_how(url: str, place: tuple[bool, str, int], head: str) -> None:
    assert target_of(url) == (place, head)


def certified(folder: Path, name: str) -> tuple[Path, ssl.SSLContext]:
    """A certificate for `name` that vouches for itself, and who serves with it."""
    key = ec.generate_private_key(ec.SECP256R1())
    named = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(named)
        .issuer_name(named)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(build.NOON - timedelta(days=365))
        .not_valid_after(build.NOON + timedelta(days=36500))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate, private = folder / "certificate.pem", folder / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, private)
    return certificate, context


async def test_who_is_vouched_for_is_called_over_tls(
    posts: Posts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, context = certified(tmp_path, "localhost")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    server = Server(OK)
    async with served(server, context) as url:
        assert [await ask(posts, url) for _ in range(3)] == [b"ok"] * 3
        assert server.connections == 1


@pytest.mark.parametrize(("name", "trusted"), [("localhost", False), ("crm.example", True)])
async def test_who_cannot_prove_its_name_is_sent_nothing(
    posts: Posts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, trusted: bool
) -> None:
    certificate, context = certified(tmp_path, name)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    server = Server(OK)
    async with served(server, context) as url:
        with pytest.raises(Unreachable) as refused:
            await ask(posts, url)
    assert isinstance(refused.value.os_error, ssl.SSLCertVerificationError)
    assert server.requests == 0
