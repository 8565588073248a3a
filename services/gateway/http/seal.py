"""Sealing: AES-256-GCM with keys that follow from the suite's, so that any replica opens it."""

import hmac
from functools import cached_property
from typing import TYPE_CHECKING, Any

from interlock.bus import Keyring
from interlock.runtime.later import import_alone

if TYPE_CHECKING:
    from mcp.server.request_state import AESGCMRequestStateCodec

PURPOSE = b"interlock gateway requestState"


class Seal:
    """The first of the suite's keys seals; all of them open, so keys rotate."""

    def __init__(self, keyring: Keyring) -> None:
        self._keys = [hmac.digest(key, PURPOSE, "sha256") for key in keyring.keys.values()]

    @cached_property
    def _sdk(self) -> Any:
        """Imported when the service is up (`Service.later`), or somebody needs it."""
        return import_alone("mcp.server.request_state")

    @cached_property
    def _codec(self) -> "AESGCMRequestStateCodec":
        codec: AESGCMRequestStateCodec = self._sdk.AESGCMRequestStateCodec(self._keys)
        return codec

    def seal(self, text: bytes) -> str:
        """Something that only we could have made, and only we can read."""
        return self._codec.seal(text)

    def open(self, sealed: str) -> bytes | None:
        """What was sealed; None where that was not us."""
        try:
            return self._codec.unseal(sealed)
        except self._sdk.InvalidRequestState:
            return None
