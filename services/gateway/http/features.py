"""Resources, prompts and completion in MCP: what a request names."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from interlock.contracts.task import TaskKind
from interlock.errors import Refused
from services.gateway.decide.text import cut, raw
from services.gateway.handlers.features import WantedFeature
from services.gateway.handlers.shelves import Shelves
from services.gateway.http.exchange import Exchange
from services.gateway.http.means import means_of
from services.gateway.model import Feature

READ, PROMPT, COMPLETE = "resources/read", "prompts/get", "completion/complete"
METHODS = frozenset({READ, PROMPT, COMPLETE})
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
        means = means_of(params, text, exchange.front, exchange.session)
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
