"""Names and ids as types of their own, and the rules that names follow."""

from hashlib import sha1
from typing import Annotated, NewType
from uuid import UUID

from pydantic import StringConstraints

TaskId = NewType("TaskId", str)
EventId = NewType("EventId", str)
PolicyId = NewType("PolicyId", str)
Digest = NewType("Digest", str)
"""SHA-256 in lower-case hexadecimal."""

NAME = r"^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$"
"""Tenants, agents, servers and stdio commands: no underscore, so `server__tool` splits one way."""

TenantId = Annotated[str, StringConstraints(pattern=NAME)]
ServerName = Annotated[str, StringConstraints(pattern=NAME)]
AgentName = Annotated[str, StringConstraints(pattern=NAME)]
USER_NAME = r"^[^\x00-\x20/.\x7f][^\x00-\x20/\x7f]{0,254}$"
"""Whatever an issuer may call a person, e-mail addresses too, and fits into a URL's path."""
UserName = Annotated[str, StringConstraints(pattern=USER_NAME)]
ToolName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,128}$")]
"""As MCP 2026-07-28 has it ("Tool names")."""

NAMESPACE = UUID("6d2b8f5e-5f0c-5a7e-9c55-1b1f1a0c7e11")
"""The namespace of all ids that follow from something."""
_NAMESPACE = NAMESPACE.bytes

QUALIFIER = "__"
"""Between server and tool where many servers share one list: `crm__search`."""


def derived(*parts: object) -> str:
    """The id that follows from `parts`: the same parts give the same id, everywhere, for ever."""
    name = "/".join([str(part) for part in parts]).encode()
    made = bytearray(sha1(_NAMESPACE + name, usedforsecurity=False).digest()[:16])
    return uuid_text(made, 5)


def uuid_text(made: bytearray, version: int) -> str:
    """16 bytes as a UUID (RFC 9562 §5), as `uuid.UUID` writes it in three times the time."""
    made[6] = made[6] & 0x0F | version << 4
    made[8] = made[8] & 0x3F | 0x80
    text = made.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
