"""Connections of a door: what a client does not take is not piled up for it."""

import asyncio
import socket

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

SILENT_MS = 30_000
"""For how long a client may leave what it was sent unacknowledged, or take nothing at all."""


class Connection(HttpToolsProtocol):
    """As uvicorn's, but `send` waits until all that was sent before was handed to the socket.

    So whoever sends knows how far it got, and a response takes no more memory than its last part.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=0)


def end_when_silent(door: socket.socket) -> None:
    """Have the kernel drop connections whose client went without a word, where it can (Linux):
    a cable that was pulled ends a call's stream like one that was closed."""
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    if option is not None and door.family != getattr(socket, "AF_UNIX", None):
        door.setsockopt(socket.IPPROTO_TCP, option, SILENT_MS)
