"""Resources, templates and prompts of the catalogue, and what of them a caller is shown."""

from collections.abc import Sequence
from enum import StrEnum

import orjson

from interlock.contracts.catalogue import ServerRecord
from interlock.contracts.ids import QUALIFIER
from interlock.contracts.task import TaskKind
from interlock.errors import Refused
from interlock.identity.tokens import Caller
from interlock.policy import Question, may_ask
from services.gateway.decide import uris
from services.gateway.handlers.visible import Visible
from services.gateway.model import ALL, Feature, Front, Listed


class Shelf(StrEnum):
    """One list of a server, by its field in the catalogue."""

    RESOURCES = "resources"
    TEMPLATES = "templates"
    PROMPTS = "prompts"

    @property
    def kind(self) -> TaskKind:
        """What one asks for something on it."""
        return TaskKind.PROMPT if self is Shelf.PROMPTS else TaskKind.READ

    @property
    def argument(self) -> str:
        """What names one in a request."""
        return "name" if self is Shelf.PROMPTS else "uri"


class Shelves:
    """What servers offer beside tools, through the eyes of callers."""

    def __init__(self, visible: Visible) -> None:
        self._visible = visible

    def of(self, caller: Caller, shelf: Shelf, front: Front = ALL) -> Sequence[Listed]:
        """What a caller may ask for, by server and name. A toolset is of tools only."""
        if front.toolset is not None:
            return []
        shown = self._visible.shown(caller, shelf.value, lambda: self._judge(caller, shelf))
        if front.server is None:
            return shown
        return [one for one in shown if one.server.name == front.server]

    async def prompt(self, caller: Caller, server: str | None, name: str) -> Feature:
        """The prompt of that name, in one server's list or in that of all."""
        if server is None:
            server, found, name = name.partition(QUALIFIER)
            if not found:
                raise _unknown(f"there is no prompt `{server[:200]}`")
        return Feature(await self._visible.server(_tenant(caller), server), TaskKind.PROMPT, name)

    async def resource(self, caller: Caller, server: str | None, uri: str) -> Feature:
        """The resource with that URI, or with that URI template.

        Among all servers a plain URI is understood where one of those that the caller sees lists
        it, or, if none does, has a template that it fits.
        """
        if server is None:
            server, uri = uris.split(uri) or (self._owner(caller, uri), uri)
        return Feature(await self._visible.server(_tenant(caller), server), TaskKind.READ, uri)

    def _owner(self, caller: Caller, uri: str) -> str:
        exact = {
            one.server.name
            for shelf in (Shelf.RESOURCES, Shelf.TEMPLATES)
            for one in self.of(caller, shelf)
            if one.record.name == uri
        }
        templates = self.of(caller, Shelf.TEMPLATES)
        found = exact or {one.server.name for one in templates if uris.fits(one.record.name, uri)}
        if len(found) == 1:
            return found.pop()
        if not found:
            raise _unknown(f"no server offers resource `{uri[:200]}`")
        choices = ", ".join(f"`{uris.qualified(one, uri[:200])}`" for one in sorted(found))
        raise _unknown(f"several servers offer this resource; say which one: {choices}")

    def _judge(self, caller: Caller, shelf: Shelf) -> Sequence[Listed]:
        servers = self._visible.servers(_tenant(caller))
        listed = [Listed(one, record) for one in servers for record in getattr(one, shelf.value)]
        return [one for one in listed if self._may_ask(caller, shelf, one)]

    def _may_ask(self, caller: Caller, shelf: Shelf, one: Listed) -> bool:
        server: ServerRecord = one.server
        asker, now = self._visible.asker(caller), self._visible.now()
        arguments = orjson.dumps({shelf.argument: one.record.name}).decode()
        question = Question(asker, shelf.kind, server.name, server, None, arguments, now)
        return may_ask(self._visible.loaded(_tenant(caller)), question)


def _tenant(caller: Caller) -> str:
    return caller.principal.tenant


def _unknown(what: str) -> Refused:
    return Refused(what, code="not_found")
