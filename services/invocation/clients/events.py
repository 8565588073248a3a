"""Server-sent events (WHATWG HTML §9.2), as far as MCP uses them."""

from services.invocation.clients.text import LARGEST


class TooLarge(Exception):
    """The answer is larger than `LARGEST`."""


class EventReader:
    """Bytes in, the data of each `message` event out."""

    def __init__(self, *, endless: bool = False) -> None:
        """`endless`: only what one event takes counts, not what came before it."""
        self._endless = endless
        self._rest = bytearray()
        self._read = 0
        self._data: list[bytes] = []
        self._type = b"message"

    def feed(self, chunk: bytes) -> list[bytes]:
        """The events that `chunk` completes. `TooLarge` once the stream is larger than allowed."""
        self._read += len(chunk)
        if self._read > LARGEST:
            raise TooLarge
        self._rest += chunk
        if b"\n" not in chunk and b"\r" not in chunk:
            return []
        lines = bytes(self._rest).splitlines(keepends=True)
        # A last line without an end goes on; a last `\r` may be half of `\r\n`.
        self._rest = bytearray(b"" if lines[-1].endswith(b"\n") else lines.pop())
        found = [data for line in lines if (data := self._line(line.rstrip(b"\r\n"))) is not None]
        if self._endless and not self._data:
            self._read = len(self._rest)
        return found

    def _line(self, line: bytes) -> bytes | None:
        if not line:
            data, kind = self._data, self._type
            self._data, self._type = [], b"message"
            return b"\n".join(data) if data and kind == b"message" else None
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._type = value or b"message"
        return None
