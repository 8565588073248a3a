"""What is kept of what a client of the handshake era says of itself."""

import json
from collections.abc import Mapping
from typing import Any

from interlock.errors import Refused
from services.gateway.decide.manner import ASKS, TASKS

LARGEST = 16 * 1024
"""Bytes of capabilities."""


def capabilities_of(declared: Mapping[str, Any]) -> str:
    """`ClientCapabilities` as JSON text: what the client can be asked, and its extensions.

    Tasks are not among them: in that era they are something else. `Refused` (`too_large`).
    """
    kept = {name: declared[name] for name in ASKS.values() if isinstance(declared.get(name), dict)}
    extensions = declared.get("extensions")
    if isinstance(extensions, dict):
        others = {name: value for name, value in extensions.items() if name != TASKS}
        kept |= {"extensions": others} if others else {}
    text = json.dumps(kept, ensure_ascii=False, separators=(",", ":"))
    if len(text.encode()) > LARGEST:
        raise Refused(
            f"the `capabilities` are larger than `{LARGEST}` bytes; declare fewer",
            code="too_large",
        )
    return text
