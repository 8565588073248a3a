"""What an MCP request says of its client, and brings along of an earlier one."""

from collections.abc import Mapping
from typing import Any

from interlock.contracts.task import NO_CLIENT, Client
from services.gateway.decide.text import cut, members
from services.gateway.http.exchange import MODERN, VERSION
from services.gateway.model import Front, Means, Retry, Session

CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
LOG_LEVEL = "io.modelcontextprotocol/logLevel"
LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")
"""RFC 5424, least severe first."""
LEGACY = Client(log_level="info")
"""Up to 2025-11-25 and without a session nothing is known of a client, and it is told what happens
unless it says otherwise."""


def means_of(
    params: Mapping[str, Any], text: str, front: Front, session: Session | None = None
) -> Means:
    """Of a request with these parameters. `text` is the whole message."""
    meta = params.get("_meta")
    modern = isinstance(meta, dict) and str(meta.get(VERSION, "")) >= MODERN
    if session is not None:
        return Means(session.client, front.path, pushes=True)
    if not modern or not isinstance(meta, dict):
        return Means(LEGACY, front.path)
    return Means(_client(meta, text), front.path, _retry(params, text))


def unknown_level(level: object) -> str | None:
    """What a client is told of a log level that is none; None where it is one."""
    if level in LEVELS:
        return None
    names = ", ".join(f"`{name}`" for name in LEVELS)
    return f"`{str(level)[:50]}` is no log level; it is one of {names}"


def wrong_level(message: Mapping[str, Any]) -> str | None:
    """The same of the level in a request's `_meta`, where it names one."""
    params = message.get("params")
    meta = params.get("_meta") if isinstance(params, dict) else None
    told = isinstance(meta, dict) and LOG_LEVEL in meta
    return unknown_level(meta[LOG_LEVEL]) if told and isinstance(meta, dict) else None


def answers_in(params: Mapping[str, Any], text: str) -> dict[str, str]:
    """`inputResponses`, each as the client wrote it; none where it is no object."""
    if not isinstance(params.get("inputResponses"), dict):
        return {}
    given = cut(text, "params", "inputResponses") or "{}"
    return {key: given[slice(*span)] for key, span in members(given).items()}


def _client(meta: Mapping[str, Any], text: str) -> Client:
    level, capabilities = meta.get(LOG_LEVEL), meta.get(CAPABILITIES)
    level = level if isinstance(level, str) else None
    if not isinstance(capabilities, dict) or not capabilities:
        return NO_CLIENT if level is None else Client(log_level=level)
    exact = cut(text, "params", "_meta", CAPABILITIES) or "{}"
    return Client(capabilities=exact, log_level=level)


def _retry(params: Mapping[str, Any], text: str) -> Retry | None:
    state = params.get("requestState")
    return Retry(state, answers_in(params, text)) if isinstance(state, str) else None
