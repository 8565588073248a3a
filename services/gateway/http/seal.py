"""Sealing: AES-256-GCM with keys that follow from the suite's, so that any replica opens it."""

import hmac

from mcp.server.request_state import AESGCMRequestStateCodec, InvalidRequestState

from interlock.bus import Keyring

PURPOSE = b"interlock gateway requestState"


class Seal:
    """The first of the suite's keys seals; all of them open, so keys rotate."""

    def __init__(self, keyring: Keyring) -> None:
        keys = [hmac.digest(key, PURPOSE, "sha256") for key in keyring.keys.values()]
        self._codec = AESGCMRequestStateCodec(keys)

    def seal(self, text: bytes) -> str:
        """Something that only we could have made, and only we can read."""
        return self._codec.seal(text)

    def open(self, sealed: str) -> bytes | None:
        """What was sealed; None where that was not us."""
        try:
            return self._codec.unseal(sealed)
        except InvalidRequestState:
            return None
