"""Which requests are plain: nothing about them but what their answer needs."""

from collections.abc import Mapping, Sequence, Set
from typing import Any

from starlette.datastructures import Headers

from services.gateway.http.exchange import MODERN, VERSION, Exchange
from services.gateway.http.means import CAPABILITIES

OLDER = frozenset({"2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"})
"""Protocols that begin with a handshake."""
PARAMS = {"name", "arguments", "_meta"}
ACCEPTED = (b"application/json", b"text/event-stream")
RawHeaders = Sequence[tuple[bytes, bytes]]


def is_plain_call(exchange: Exchange, headers: RawHeaders) -> bool:
    """A `tools/call` of 2026-07-28."""
    wanted = exchange.wanted
    if wanted is None:
        return False
    named = b"mcp-name", exchange.message["params"]["name"].encode()
    return (
        is_plain(exchange.message, headers, PARAMS, named)
        and "x-mcp-header" not in wanted.offer.tool.definition
    )


def is_plain(
    message: Mapping[str, Any], headers: RawHeaders, known: Set[str], *more: tuple[bytes, bytes]
) -> bool:
    """A request of 2026-07-28 whose headers say what its body says, and say nothing else."""
    params = message.get("params")
    if not isinstance(params, dict):
        return False
    meta = params.get("_meta")
    return (
        message.get("jsonrpc") == "2.0"
        and _is_id(message.get("id"))
        and isinstance(meta, dict)
        and meta.get(VERSION) == MODERN
        and isinstance(meta.get(CAPABILITIES), dict)
        and _is_id(meta.get("progressToken", 0))
        and params.keys() <= known
        and _routed(headers, (b"mcp-method", message["method"].encode()), *more)
    )


def is_plain_older(exchange: Exchange, headers: Headers) -> bool:
    """A request of the handshake era that becomes a task."""
    if exchange.wanted is None and exchange.feature is None:
        return False
    return is_older(exchange.message, headers)


def is_older(message: Mapping[str, Any], headers: Headers) -> bool:
    """A request of the handshake era in which all is where it belongs."""
    params = message.get("params", {})
    if not isinstance(params, dict):
        return False
    version, meta = headers.get("mcp-protocol-version"), params.get("_meta", {})
    return (
        (version is None or version in OLDER)
        and message.get("jsonrpc") == "2.0"
        and _is_id(message.get("id"))
        and isinstance(meta, dict)
        and _is_id(meta.get("progressToken", 0))
        and headers.get("content-type", "").partition(";")[0].strip() == "application/json"
        and _accepts(headers.raw)
    )


def _routed(headers: RawHeaders, *named: tuple[bytes, bytes]) -> bool:
    said = sorted(one for one in headers if one[0].startswith(b"mcp-"))
    return _accepts(headers) and said == [*named, (b"mcp-protocol-version", MODERN.encode())]


def _accepts(headers: RawHeaders) -> bool:
    accept = b",".join(value for key, value in headers if key == b"accept")
    return all(one in accept for one in ACCEPTED)


def _is_id(value: Any) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool)
