"""The least that an answer can cost: `python -m tests.bench.floor --port 9106`.

The server of our doors, and an application that reads the request and answers as many bytes as the
path says (`/4096`).
"""

import asyncio
import signal
from collections.abc import Sequence

from starlette.types import Receive, Scope, Send

from interlock.runtime.main import Server, bind, run_loop
from interlock.samples.serve import parser


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    """So many bytes; none where the path says no number."""
    while (await receive()).get("more_body"):
        pass
    named = scope["path"].removeprefix("/")
    body = b"0" * int(named) if named.isdecimal() else b""
    about = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": about})
    await send({"type": "http.response.body", "body": body})


async def serve(host: str, port: int) -> None:
    """Until SIGTERM or SIGINT."""
    server = Server(answer, 1.0)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, setattr, server, "should_exit", True)
    await server.serve(sockets=[bind(host, port)])


def main(given: Sequence[str] | None = None) -> None:
    """On the loop that our doors run on."""
    options = parser("floor", 9106).parse_args(given)
    run_loop(serve(options.host, options.port))


if __name__ == "__main__":
    main()
