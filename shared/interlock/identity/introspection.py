"""Tokens of which only their issuer knows whether they are good (RFC 7662).

A door asks the issuer and believes the answer for a moment, so that a revocation there acts in
seconds. While an issuer does not answer, its tokens let nobody in.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from interlock.bus.wire import Keyring
from interlock.contracts.access import IntrospectionRecord
from interlock.errors import InterlockError, Unavailable
from interlock.identity.outgoing import Outgoing, Unanswered
from interlock.identity.sealing import CLIENT_SECRETS, Seal

FRESH_SECONDS = 3.0
"""How long an answer is believed: how long a revocation at the issuer takes at the most, here."""
CACHED = 10_000
AT_ONCE = 32
"""Questions of one process; strangers may make up tokens."""

Answer = Mapping[str, Any]


@dataclass
class Introspection:
    """One process's questions and their answers. A token's answer is kept by its digest."""

    keyring: Keyring = field(repr=False)
    clock: Callable[[], float] = time.monotonic
    _answers: dict[bytes, tuple[float, Answer]] = field(default_factory=dict)
    _asking: dict[bytes, "asyncio.Task[Answer]"] = field(default_factory=dict)
    _places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    async def answer(self, issuer: str, how: IntrospectionRecord, token: str) -> Answer:
        """What the issuer says of a token now, at most `FRESH_SECONDS` old; `Unavailable`."""
        key = sha256(f"{issuer} {token}".encode("utf-8", "surrogatepass")).digest()
        until, known = self._answers.get(key, (0.0, {}))
        if self.clock() < until:
            return known
        running = self._asking.get(key)
        if running is None:
            running = asyncio.ensure_future(self._ask(issuer, how, token, key))
            self._asking[key] = running
            running.add_done_callback(lambda _: self._asking.pop(key, None))
        return await asyncio.shield(running)

    async def _ask(self, issuer: str, how: IntrospectionRecord, token: str, key: bytes) -> Answer:
        asked_at = self.clock()
        form = {"token": token, "token_type_hint": "access_token"}
        try:
            secret = Seal(self.keyring, CLIENT_SECRETS).open(how.sealed_secret).decode()
            async with self._places:
                told = await Outgoing(how.private).post(how.endpoint, form, how.client_id, secret)
        except (Unanswered, InterlockError) as error:
            why = error.detail if isinstance(error, InterlockError) else str(error)
            raise Unavailable(
                f"issuer `{issuer}` does not say whether the token is good: {why}"
            ) from None
        self._answers.pop(key, None)
        self._answers[key] = (asked_at + FRESH_SECONDS, told)
        if len(self._answers) > CACHED:
            del self._answers[next(iter(self._answers))]
        return told


def is_opaque(token: str) -> bool:
    """Whether a token says nothing itself: it is no JWS (RFC 7515 §3.1)."""
    return token.count(".") != 2
