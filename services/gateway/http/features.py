"""Resources, prompts and completion in MCP: what a request names, what lists show, how it ends."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import orjson
from mcp.server import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp.types import INTERNAL_ERROR, INVALID_PARAMS, INVALID_REQUEST

from interlock.contracts.ids import QUALIFIER
from interlock.contracts.task import TaskKind
from interlock.errors import Refused, Unavailable
from services.gateway.decide import uris
from services.gateway.decide.tell import protocol_error
from services.gateway.decide.text import cut, raw
from services.gateway.handlers.features import Features, WantedFeature
from services.gateway.handlers.shelves import Shelf, Shelves
from services.gateway.http.exchange import MODERN, Exchange, exchange_of, listener_to
from services.gateway.http.means import means_of
from services.gateway.http.pages import FRESH_MS, page_of
from services.gateway.model import Feature, Listed, Unanswered

READ, PROMPT, COMPLETE = "resources/read", "prompts/get", "completion/complete"
METHODS = frozenset({READ, PROMPT, COMPLETE})
LISTS: Mapping[str, tuple[Shelf, str, str]] = {
    "resources/list": (Shelf.RESOURCES, "resources", "uri"),
    "resources/templates/list": (Shelf.TEMPLATES, "resourceTemplates", "uriTemplate"),
    "prompts/list": (Shelf.PROMPTS, "prompts", "name"),
}
"""By method: the shelf, and what MCP calls it and what names one on it."""
Context = ServerRequestContext[Any, Any]
Params = Mapping[str, Any]


class FeatureReader:
    """Finds out what a request wants."""

    def __init__(self, shelves: Shelves) -> None:
        self._shelves = shelves

    async def read(self, exchange: Exchange, trace: str | None) -> Exchange:
        """With what is wanted, or why nothing can be."""
        params, text = exchange.message["params"], exchange.text
        if exchange.front.toolset is not None:
            return replace(exchange, refusal="a toolset offers tools, and nothing else")
        try:
            if exchange.message["method"] == READ:
                wanted = await self._resource(exchange, params)
            elif exchange.message["method"] == PROMPT:
                wanted = await self._prompt(exchange, params, text)
            else:
                wanted = await self._completion(exchange, params, text)
        except Refused as error:
            return replace(exchange, refusal=error.detail)
        means = means_of(params, text, exchange.front)
        return replace(exchange, feature=replace(wanted, traceparent=trace, means=means))

    async def _resource(self, exchange: Exchange, params: Params) -> WantedFeature:
        uri = _text(params, "uri")
        feature = await self._shelves.resource(exchange.caller, exchange.server, uri)
        return _wanted(feature, {"uri": feature.name})

    async def _prompt(self, exchange: Exchange, params: Params, text: str) -> WantedFeature:
        name, arguments = _text(params, "name"), params.get("arguments")
        if not isinstance(arguments, dict | None):
            raise Refused("`arguments` is an object")
        feature = await self._shelves.prompt(exchange.caller, exchange.server, name)
        exact = {} if arguments is None else {"arguments": _exact(text, "arguments")}
        return _wanted(feature, {"name": feature.name} | exact)

    async def _completion(self, exchange: Exchange, params: Params, text: str) -> WantedFeature:
        ref = params.get("ref")
        if not isinstance(ref, dict) or not isinstance(params.get("argument"), dict):
            raise Refused("`ref` and `argument` are objects")
        caller, server = exchange.caller, exchange.server
        if ref.get("type") == "ref/prompt":
            found = await self._shelves.prompt(caller, server, _text(ref, "name"))
            named = ref | {"name": found.name}
        else:
            found = await self._shelves.resource(caller, server, _text(ref, "uri"))
            named = ref | {"uri": found.name}
        given: dict[str, Any] = {"ref": named, "argument": _exact(text, "argument")}
        if "context" in params:
            given["context"] = _exact(text, "context")
        return _wanted(replace(found, kind=TaskKind.COMPLETE), given)


class FeatureProtocol:
    """Answers what a request wants, and lists."""

    def __init__(self, features: Features, shelves: Shelves) -> None:
        self._features = features
        self._shelves = shelves
        self.answers: Mapping[str, Callable[[Context], Any]] = {
            **dict.fromkeys(METHODS, self.answer),
            **dict.fromkeys(LISTS, self.list),
        }

    async def answer(self, ctx: Context) -> dict[str, Any]:
        """The upstream's result; every other end is an error of JSON-RPC."""
        exchange = exchange_of(ctx)
        if exchange.feature is None:
            raise MCPError(INVALID_PARAMS, exchange.refusal)
        listener = listener_to(ctx, exchange.feature.means)
        try:
            text = await self._features.answer(exchange.caller, exchange.feature, listener)
        except Unanswered as error:
            raise unanswered(error, listener.modern) from None
        except Unavailable as error:
            raise MCPError(INTERNAL_ERROR, f"{error.detail}; try again") from None
        except Refused as error:
            raise MCPError(INVALID_REQUEST, error.detail) from None
        result: dict[str, Any] = json.loads(text)
        return result

    async def list(self, ctx: Context) -> dict[str, Any]:
        """What the caller may ask for, in the order of its names."""
        exchange = exchange_of(ctx)
        shelf, member, key = LISTS[ctx.method]
        listed = self._shelves.of(exchange.caller, shelf, exchange.front)
        named = sorted(((_name(shelf, one, exchange), one) for one in listed), key=_first)
        page, more = page_of(named, (ctx.params or {}).get("cursor"))
        shown = [{**self._shelves.definition(one.record), key: name} for name, one in page]
        result: dict[str, Any] = {member: shown} | more
        if ctx.protocol_version >= MODERN:
            result |= {"resultType": "complete", "ttlMs": FRESH_MS, "cacheScope": "private"}
        return result


def _first(pair: tuple[str, Listed]) -> str:
    return pair[0]


def _name(shelf: Shelf, one: Listed, exchange: Exchange) -> str:
    if exchange.server is not None:
        return one.record.name
    if shelf is Shelf.PROMPTS:
        return f"{one.server.name}{QUALIFIER}{one.record.name}"
    return uris.qualified(one.server.name, one.record.name)


def unanswered(error: Unanswered, modern: bool) -> MCPError:
    """The upstream's own error, where it gave one."""
    told = protocol_error(error.error, modern=modern)
    if told is None:
        return MCPError(INVALID_REQUEST, error.detail)
    return MCPError(told["code"], told["message"], told.get("data"))


def _wanted(feature: Feature, arguments: dict[str, Any]) -> WantedFeature:
    return WantedFeature(feature, orjson.dumps(arguments).decode())


def _exact(text: str, member: str) -> Any:
    """A parameter's text as the client wrote it."""
    found = cut(text, "params", member)
    assert found is not None, "it was seen in the parsed message"
    return raw(found)


def _text(given: Params, name: str) -> str:
    found = given.get(name)
    if not isinstance(found, str) or not found:
        raise Refused(f"`{name}` is a text")
    return found
