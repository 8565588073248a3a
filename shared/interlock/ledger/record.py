"""What the ledger keeps of one message, and the hash that ties it to all records before it.

A ledger is N chains, its shards. A record's hash is SHA-256 over the hash before it, its own fields
and the message's bytes as they were received: nothing is parsed and written again, so a record can
be checked by any program, for as long as SHA-256 stands.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

from interlock.bus.envelope import Raw
from interlock.errors import Unreadable

FORMAT = "interlock.ledger.v1"
NOBODY = "-"
"""The tenant of what cannot be believed to be any tenant's."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Which ledger it is, and of how many shards; both are fixed when it is made."""

    ledger: str
    shards: int

    def genesis(self, shard: int) -> bytes:
        """The hash before a shard's first record."""
        return sha256(_lined([FORMAT, self.ledger, str(self.shards), str(shard)])).digest()

    def shard_of(self, tenant: str, subject: str) -> int:
        """The shard of all records of one task."""
        return int.from_bytes(sha256(_lined([tenant, subject])).digest()[:8]) % self.shards


class Entry(NamedTuple):
    """What is kept of a message. A tuple, as it is a part of a row, and made for each message."""

    event_id: str
    """The message's own id if it is believed; otherwise one that follows from its bytes, so that a
    forged message never takes the place of the true one whose id it carries."""
    tenant: str
    subject: str
    """The task's id; of other facts, what they are about."""
    arrived_at: int
    """When audit received it: whole microseconds since 1970, UTC."""
    kept: bytes
    """See `keep`."""
    fault: str = ""
    """`forged`, `unreadable`, `unknown_type`; empty for what is believed."""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """An entry in its place. `entry` is None where the reader may not see it: only the chain."""

    shard: int
    seq: int
    """From 1, without gaps."""
    previous: bytes
    hash: bytes
    entry: Entry | None


def link(previous: bytes, shard: int, seq: int, entry: Entry) -> bytes:
    """The hash of `entry` in its place."""
    event_id, tenant, subject, arrived_at, kept, fault, reason = entry
    fields = (str(shard), str(seq), event_id, tenant, subject, str(arrived_at), fault, reason)
    return sha256(b"%b%b%d:%b" % (previous, _lined(fields), len(kept), kept)).digest()


def keep(raw: Raw) -> bytes:
    """The message, whole, `mac` included: length-prefixed topic, attributes by name, body."""
    texts: list[str] = [raw.topic]
    for named in sorted(raw.attributes.items()):
        texts += named
    return b"%b%d:%b" % (_lined(texts), len(raw.body), raw.body)


def parts(kept: bytes) -> tuple[str, Mapping[str, str], bytes]:
    """Topic, attributes and body of what `keep` kept; `Unreadable` where it is nothing of it."""
    found: list[bytes] = []
    at, end = 0, len(kept)
    try:
        while at < end:
            colon = kept.index(b":", at, at + 20)
            start, at = colon + 1, colon + 1 + int(kept[at:colon])
            found.append(kept[start:at])
        texts = [part.decode("utf-8", "surrogateescape") for part in found[:-1]]
        topic, pairs = texts[0], texts[1:]
        attributes = dict(zip(pairs[::2], pairs[1::2], strict=True))
    except (ValueError, IndexError):
        raise Unreadable("the kept bytes of a record are no message") from None
    if at != end:
        raise Unreadable("the kept bytes of a record are cut short")
    return topic, attributes, found[-1]


def _lined(texts: Sequence[str]) -> bytes:
    """Each text after its length in bytes, so that no two lists share an encoding."""
    line = "".join([f"{len(text)}:{text}" for text in texts])
    if line.isascii():
        return line.encode()
    encoded = [text.encode("utf-8", "surrogateescape") for text in texts]
    return b"".join([b"%d:%b" % (len(part), part) for part in encoded])
