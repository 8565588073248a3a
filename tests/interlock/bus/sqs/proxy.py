"""Between a client and an SQS server: what SQS does seldom, or AWS alone."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext
from typing import Any

from aiohttp import ClientSession, web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.interlock.bus.harness import clock

Answer = Callable[[str, dict[str, Any]], Awaitable[web.Response | None]]
"""Given an operation and its request, which it may change: an answer, or None to pass it on."""


async def pass_on(operation: str, request: dict[str, Any]) -> web.Response | None:
    return None


@dataclass
class Proxy:
    """Where it listens, what it answers, and what it saw."""

    url: str
    answer: Answer = pass_on
    after: Callable[[dict[str, Any], dict[str, Any]], None] = lambda request, answer: None
    """Given a request as it was passed on: may change what SQS answered."""
    seen: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """Operations and their requests, as they came."""
    headers: list[Mapping[str, str]] = field(default_factory=list)
    """Those of each."""

    def note(self, operation: str, request: dict[str, Any], headers: Mapping[str, str]) -> None:
        self.seen.append((operation, json.loads(json.dumps(request))))
        self.headers.append(headers)


@asynccontextmanager
async def proxy(server: str, tls: SSLContext | None = None) -> AsyncIterator[Proxy]:
    """In front of the server at that URL; with `tls` under the name `localhost`."""
    made = Proxy("")

    async def handle(request: web.Request) -> web.Response:
        operation = request.headers.get("X-Amz-Target", "").partition(".")[2]
        body = json.loads(await request.read() or b"{}")
        made.note(operation, body, request.headers)
        if (own := await made.answer(operation, body)) is not None:
            return own
        headers = {
            name: request.headers[name]
            for name in ("X-Amz-Target", "Content-Type", "Authorization", "X-Amz-Date")
            if name in request.headers
        }
        async with client.post(server, data=json.dumps(body), headers=headers) as answer:
            kept = {"x-amzn-query-error": answer.headers.get("x-amzn-query-error", "")}
            said = json.loads(await answer.read() or b"{}")
            made.after(body, said)
            return web.json_response(said, status=answer.status, headers=kept)

    application = web.Application(client_max_size=2**22)
    application.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    async with ClientSession() as client:
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
            where = "https://localhost" if tls else "http://127.0.0.1"
            made.url = f"{where}:{runner.addresses[0][1]}"
            yield made
        finally:
            await runner.cleanup()


def refusal(code: str, message: str = "no", status: int = 400) -> web.Response:
    """An error as SQS answers it."""
    body = {"__type": f"com.amazonaws.sqs#{code}", "message": message}
    return web.json_response(body, status=status, headers={"x-amzn-query-error": f"{code};Sender"})


def own_certificate(home: Path) -> SSLContext:
    """A server's, for `localhost`, that only what lies in `ca.pem` vouches for."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(clock() - timedelta(hours=1))
        .not_valid_after(clock() + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=True)
        .sign(key, hashes.SHA256())
    )
    (home / "ca.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    (home / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, form, plain))
    context = SSLContext(PROTOCOL_TLS_SERVER)
    context.load_cert_chain(home / "ca.pem", home / "key.pem")
    return context
