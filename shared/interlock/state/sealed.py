"""How one published value lies in Redis: `<version> <code> <body>`, sealed by the suite.

The version comes first so that a script can compare it; no body is a removal.
"""

from interlock.bus.wire import Keyring
from interlock.errors import Forged
from interlock.state.port import Entry


def seal(entry: Entry, keyring: Keyring) -> bytes:
    """The value for `entry`."""
    code = keyring.sign(_covered(entry))
    return b"%d %b %b" % (entry.version, code.encode(), entry.body or b"")


def unseal(place: tuple[str, str, str], value: bytes, keyring: Keyring) -> Entry:
    """The entry at `place` (kind, tenant, field); `Forged` if this suite did not put it there."""
    version, _, rest = value.partition(b" ")
    code, _, body = rest.partition(b" ")
    kind, tenant, field = place
    if version.isdigit() and len(version) < 19 and code.isascii():
        entry = Entry(kind, tenant, field, int(version), body or None)
        if keyring.proves(_covered(entry), code.decode()):
            return entry
    raise Forged(f"published state `{kind}` of tenant `{tenant}`, `{field}`, is not by this suite")


def _covered(entry: Entry) -> bytes:
    """The bytes that the code covers, each part preceded by its length."""
    texts = (entry.tenant, entry.kind, entry.field, str(entry.version))
    parts = [*(text.encode() for text in texts), entry.body or b""]
    return b"".join(b"%d:%b" % (len(part), part) for part in parts)
