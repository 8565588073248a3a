"""Sessions of clients of the handshake era: opened, found again on any replica, ended."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from interlock.contracts.task import Client
from interlock.errors import Refused
from interlock.identity.tokens import Caller
from services.gateway.decide import pushed
from services.gateway.decide.sessions import capabilities_of
from services.gateway.handlers.inputs import Inputs
from services.gateway.handlers.subscriptions import Subscriptions
from services.gateway.model import Front, Session
from services.gateway.store.sessions import MOST_RESOURCES, Sessions, Where, where_of

LOG_LEVEL = "info"
"""From which on a client is told what upstreams log, until it says otherwise."""
LONGEST_URI = 2048


def new_session_id() -> str:
    """256 bits that nobody can guess."""
    return secrets.token_urlsafe(32)


@dataclass(frozen=True)
class Sticky:
    """The sticky profile."""

    store: Sessions
    inputs: Inputs
    subscriptions: Subscriptions
    most: int
    """Sessions of one principal."""
    idle: float
    """Seconds, for messages alone: the store counts them."""
    new_id: Callable[[], str] = new_session_id

    async def open(self, caller: Caller, front: Front, capabilities: Mapping[str, Any]) -> Session:
        """A new session of a client that declares these. `Refused`: `too_many`, `too_large`."""
        client = Client(capabilities=capabilities_of(capabilities), log_level=LOG_LEVEL)
        session = Session(self.new_id(), caller.principal, front.path, client)
        if not await self.store.open(session, self.most):
            raise Refused(
                f"`{self.most}` sessions of yours are open; end one with DELETE, or wait until "
                f"one was idle for `{self.idle:g}` seconds",
                code="too_many",
            )
        return session

    async def find(self, caller: Caller, front: Front, session_id: str) -> Session:
        """The caller's own, of that endpoint; whatever else it is, `Refused` in the same words."""
        session = await self.store.find(Where(caller.principal, front.path, session_id))
        if session is None:
            raise Refused("there is no such session; initialize a new one", code="not_found")
        return session

    async def close(self, session: Session) -> None:
        """It ends; its calls go on."""
        await self.store.close(where_of(session))

    async def answered(self, caller: Caller, request_id: object, text: str) -> None:
        """What the client answers to a question: input of its task, like any other.

        `Refused` as `Inputs.give` has it, or where nothing was asked under that id.
        """
        question = pushed.read(request_id)
        if question is None:
            raise Refused(
                f"nothing was asked under the id `{str(request_id)[:100]}`; answer a request with "
                "the id that it came with",
                code="bad_request",
            )
        responses = {question.key: text}
        await self.inputs.give(caller, question.task, responses, question.round)

    async def set_level(self, session: Session, level: str) -> None:
        """From which severity on its client is told what upstreams log."""
        client = session.client.model_copy(update={"log_level": level})
        await self.store.set_client(where_of(session), client)

    async def subscribe(self, caller: Caller, front: Front, session: Session, uri: str) -> None:
        """Have the session's stream tell when the resource changes.

        `Refused`: `not_found` where the caller may not read it, `too_many`.
        """
        wishes = await self.subscriptions.granted(caller, front, [uri[:LONGEST_URI]])
        if uri not in wishes.values():
            raise Refused(f"there is no resource `{uri[:200]}` to listen to", code="not_found")
        if not await self.store.add_resource(where_of(session), uri):
            raise Refused(
                f"the session listens to `{MOST_RESOURCES}` resources; unsubscribe from one",
                code="too_many",
            )
        await self.subscriptions.expect(wishes)

    async def unsubscribe(self, session: Session, uri: str) -> None:
        """It listens to that no longer."""
        await self.store.remove_resource(where_of(session), uri)

    async def take_stream(self, session: Session) -> Session:
        """It has a new stream, which is told from now on, and no other of the session's."""
        stream = self.new_id()
        await self.store.set_stream(where_of(session), stream)
        return replace(session, stream=stream)
