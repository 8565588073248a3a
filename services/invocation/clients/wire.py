"""HTTP/1.1 on one connection, one exchange at a time: a POST goes out, its answer comes in.

`httptools` (llhttp) reads. For a plain call aiohttp's session does five times as much around its
parser; what it knows of an upstream's ways (its leniencies, its errors) holds here as well.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import cast

import aiohttp
import httptools

from services.invocation.clients.events import TooLarge
from services.invocation.clients.text import LARGEST

LONGEST_HEAD = 65536
"""Bytes of an answer before its body."""


class Answer:
    """What comes back. Its head is there when one has it; its body while one reads it."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        """By name in lower case; of several with one name the first."""
        self.begun = self.over = False
        self._pieces: deque[bytes] = deque()
        self._kept = 0
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    @property
    def content_type(self) -> str:
        """Without its parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    async def head(self) -> None:
        """Return once status and headers are known."""
        while not self.begun:
            await self._more()

    async def read(self) -> bytes:
        """The body; `TooLarge` before more than `LARGEST` bytes are kept."""
        length = self.headers.get("content-length", "")
        if length.isdecimal() and int(length) > LARGEST:
            raise TooLarge
        while not self.over:
            await self._more()
        return b"".join(self._pieces)

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body, as it comes."""
        while True:
            while self._pieces:
                piece = self._pieces.popleft()
                self._kept -= len(piece)
                yield piece
            if self.over:
                return
            await self._more()

    async def _more(self) -> None:
        if self._error is not None:
            raise self._error
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    # -- what its connection tells --------------------------------------------------------------

    def begin(self, status: int) -> None:
        self.status, self.begun = status, True
        self._wake()

    def add(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._kept += len(piece)
        if self._kept > LARGEST:
            self.fail(TooLarge())
        self._wake()

    def end(self) -> None:
        self.over = True
        self._wake()

    def fail(self, error: Exception) -> None:
        """What has come can still be read."""
        self._error = self._error or error
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Wire(asyncio.Protocol):
    """A connection. `gone` is told once it has ended."""

    def __init__(self, gone: Callable[["Wire"], None]) -> None:
        self._gone = gone
        self._answer: Answer | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._parser.set_dangerous_leniencies(  # as aiohttp is with answers
            lenient_headers=True,
            lenient_optional_cr_before_lf=True,
            lenient_spaces_after_chunk_size=True,
        )
        self._head = 0
        self._reusable = False
        self._passing = False
        """What is read now only announces the answer (RFC 9110 §15.2)."""
        self.ended = asyncio.Event()

    def post(self, request: bytes) -> Answer:
        """Send a whole request; `ClientConnectionResetError` where nothing of it was sent."""
        if self._transport.is_closing():
            raise aiohttp.ClientConnectionResetError("the connection had ended")
        self._answer, self._head, self._reusable = Answer(), 0, False
        self._transport.write(request)
        return self._answer

    def rest(self) -> bool:
        """The exchange is over for whoever asked; whether another may follow on this connection."""
        answer, self._answer = self._answer, None
        done = answer is not None and answer.over and self._reusable
        if done and not self._transport.is_closing():
            return True
        self.cut()
        return False

    def cut(self) -> None:
        """End it at once, whatever is still on its way."""
        self._transport.abort()

    # -- asyncio.Protocol -----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._answer is None:  # nobody asked
            self.cut()
            return
        if not self._answer.begun:
            self._head += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:  # to what nobody asked for: there is no more to read
            self._answer.end()
        except httptools.HttpParserError as error:
            self._broken(f"what it says is no HTTP: {error}")
        if not self._answer.begun and self._head > LONGEST_HEAD:
            self._broken(f"the head of its answer is longer than {LONGEST_HEAD} bytes")

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set()
        if (answer := self._answer) is not None and not answer.over:
            if not answer.begun:
                answer.fail(exc or aiohttp.ServerDisconnectedError())
            elif (
                exc is None and not {"content-length", "transfer-encoding"} & answer.headers.keys()
            ):
                answer.end()  # such a body ends with its connection (RFC 9112 §6.3)
            else:
                answer.fail(aiohttp.ClientPayloadError("it broke off"))
        self._gone(self)

    def _broken(self, why: str) -> None:
        if self._answer is not None:
            self._answer.fail(aiohttp.ClientConnectionError(why))
        self.cut()

    # -- httptools ------------------------------------------------------------------------------

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._answer is not None:
            named, text = name.decode("latin-1").lower(), value.decode("utf-8", "surrogateescape")
            self._answer.headers.setdefault(named, text)

    def on_headers_complete(self) -> None:
        if (answer := self._answer) is None or answer.begun:  # a second one, unasked
            return
        status = self._parser.get_status_code()
        self._passing = 100 <= status < 200 and status != 101
        if self._passing:
            answer.headers.clear()
        else:
            answer.begin(status)

    def on_body(self, body: bytes) -> None:
        if self._answer is not None and not self._answer.over:
            self._answer.add(body)

    def on_message_complete(self) -> None:
        if self._passing:
            self._passing = False
        elif self._answer is not None:
            self._reusable = not self._answer.over and self._parser.should_keep_alive()
            self._answer.end()
