"""One request on its way from the door to the protocol's handlers."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from interlock.identity.tokens import Caller
from services.gateway.handlers.calls import Wanted
from services.gateway.handlers.features import WantedFeature
from services.gateway.handlers.leases import Reply
from services.gateway.model import Front, Session

CALL = "tools/call"
VERSION = "io.modelcontextprotocol/protocolVersion"
"""What a message says of its protocol, in `_meta`."""
LOGGED = "notifications/message"
MODERN = "2026-07-28"
"""The first protocol without sessions; later ones sort behind it."""
EXCHANGE = "interlock.exchange"


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request, as the protocol's handlers find it in the scope's state."""

    caller: Caller
    front: Front
    message: Mapping[str, Any]
    text: str = ""
    """The message as it came."""
    wanted: Wanted | None = None
    """What a `tools/call` wants, where it is one."""
    feature: WantedFeature | None = None
    """What a read, a prompt or a completion wants, where it is one."""
    refusal: str = "`name` is a string and `arguments` an object"
    """Why it is none."""
    session: Session | None = None
    """The client's, where it has one."""
    reply: Reply = field(default_factory=Reply)

    @property
    def server(self) -> str | None:
        """The one server that is looked at."""
        return self.front.server

    @property
    def named(self) -> str | None:
        """The tool that a call names, whether there is one or not."""
        params = self.message.get("params") if self.message.get("method") == CALL else None
        name = params.get("name") if isinstance(params, dict) else None
        return name[:128] if isinstance(name, str) else None

    def request_key(self, request_id: object) -> str:
        """What stands for the id of a request; without a session it may be many clients'."""
        key = json.dumps(request_id)
        return key if self.session is None else f"{self.session.id} {key}"
