"""What a failure proves about the call: every way to fail is classified here (`Reach`)."""

import ssl
from collections.abc import Mapping

import aiohttp

from interlock.errors import Refused
from services.invocation.clients.port import Connection, Reach, UpstreamError
from services.invocation.clients.text import LARGEST, Span, compact, members

UNSUPPORTED_VERSION = -32022
METHOD_NOT_FOUND = -32601


def of_exception(connection: Connection, error: Exception, sent: bool = True) -> UpstreamError:
    """What aiohttp could not do; `sent`: a byte may have left. Raises `Refused` for an address that
    may not be dialled.

    aiohttp itself repeats no POST: it does so for idempotent methods only.
    """
    name = connection.server
    if isinstance(error, aiohttp.ClientConnectorError):  # name, address, TLS: before any byte
        if isinstance(error.os_error, PermissionError):
            raise Refused(
                f"server `{name}` cannot be called: {error.os_error.strerror}; an operator can "
                "allow private addresses",
                code="address_not_allowed",
            ) from None
        why = _plain(error.os_error)
        return UpstreamError(
            Reach.NOT_SENT, f"server `{name}` at `{error.host}:{error.port}` is unreachable: {why}"
        )
    if isinstance(error, aiohttp.InvalidURL | aiohttp.NonHttpUrlClientError):
        raise Refused(f"the URL of server `{name}` is not valid", code="bad_connection") from None
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return UpstreamError(Reach.NOT_SENT, f"server `{name}` accepts no connection in time")
    if not sent:
        return UpstreamError(
            Reach.NOT_SENT, f"server `{name}` closed the connection before anything was sent"
        )
    if isinstance(error, aiohttp.ClientPayloadError):
        return UpstreamError(Reach.LOST, f"the answer of server `{name}` broke off")
    return UpstreamError(
        Reach.LOST, f"the connection to server `{name}` broke before an answer: {_plain(error)}"
    )


def of_status(
    connection: Connection, status: int, headers: Mapping[str, str], body: bytes
) -> UpstreamError:
    """What an HTTP answer other than a result says about the call."""
    name = connection.server
    error = _rpc(connection, body) or UpstreamError(
        Reach.ANSWERED, f"server `{name}` answered with HTTP status `{status}`"
    )
    asked = headers.get("Retry-After")
    if status == 429 or (status == 503 and asked is not None):
        error.reach = Reach.NOT_SENT
        error.retry_after = _seconds(asked)
    elif error.code is None and (status >= 500 or status < 300 or status == 408):
        error.reach = Reach.LOST
    error.status = status
    if status in {401, 403}:
        error.challenge = headers.get("WWW-Authenticate")
    return error


def of_rpc(connection: Connection, code: int, message: str, text: str) -> UpstreamError:
    """What a JSON-RPC error, `text`, says about the call."""
    reach = Reach.NOT_SENT if code == UNSUPPORTED_VERSION else Reach.ANSWERED
    error = UpstreamError(reach, f"server `{connection.server}` refused with `{code}`: {message}")
    error.code, error.error = code, text
    return error


def of_span(connection: Connection, span: Span) -> UpstreamError:
    """The same, for the member `error` of an answer."""
    value = span.value
    code = value.get("code") if isinstance(value, dict) else None
    if type(code) is not int:
        return unreadable(connection, "its error has no code")
    return of_rpc(connection, code, str(value.get("message", "")), span.text)


def too_large(connection: Connection) -> UpstreamError:
    """The tool ran, and what it said is not worth our memory."""
    return UpstreamError(
        Reach.LOST, f"the answer of server `{connection.server}` is larger than `{LARGEST}` bytes"
    )


def unreadable(connection: Connection, why: str) -> UpstreamError:
    """The tool may have run, and what it said cannot be understood."""
    return UpstreamError(
        Reach.LOST, f"the answer of server `{connection.server}` is no answer of MCP: {why}"
    )


def late(connection: Connection, sent: bool, seconds: float) -> UpstreamError:
    """No answer in time."""
    if sent:
        why = f"server `{connection.server}` did not answer within `{seconds:g}` seconds"
        return UpstreamError(Reach.LOST, why)
    why = f"server `{connection.server}` was not ready within `{seconds:g}` seconds"
    return UpstreamError(Reach.NOT_SENT, why)


def era_in_doubt(error: UpstreamError) -> bool:
    """Whether the server may speak another protocol version than it did at first contact."""
    if error.code is None:
        return error.status in {400, 404, 405, 406}
    return error.code in {UNSUPPORTED_VERSION, METHOD_NOT_FOUND} or error.status == 400


def failure(connection: Connection, code: int, message: str, data: object) -> UpstreamError:
    """A JSON-RPC error that some library has parsed already."""
    told = {"code": code, "message": message} | ({} if data is None else {"data": data})
    return of_rpc(connection, code, message, compact(told))


def _rpc(connection: Connection, body: bytes) -> UpstreamError | None:
    """The JSON-RPC error in the body, if that is what it holds."""
    try:
        span = members(body.decode()).get("error")
    except ValueError:
        return None
    error = of_span(connection, span) if span else None
    return error if error and error.code is not None else None


def _seconds(retry_after: str | None) -> float | None:
    """Of a Retry-After in seconds; a date is as good as no hint."""
    return float(retry_after) if retry_after and retry_after.strip().isdigit() else None


def _plain(error: BaseException) -> str:
    if isinstance(error, ssl.SSLError):
        return f"TLS failed ({error.reason or type(error).__name__})".lower()
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).strip().rstrip(".").lower()
