"""Signed statements of how far the ledger was at a moment, kept where its database's owner is not.

Whoever owns the database can rewrite a chain from any record on and compute all hashes anew. He
cannot sign, and he cannot take back what lies in the anchor.
"""

import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from interlock.errors import Forged, Unavailable
from interlock.identity.statements import Signer, Trust
from interlock.ledger.record import Origin

CHECKPOINT = "interlock-checkpoint+jwt"
SIGNER = "ledger"
"""Whose key signs: its file is `ledger.key.json`, its public half `ledger.pub.json`."""


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a shard: its last record's place and hash; seq 0 and the genesis before any."""

    shard: int
    seq: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """All heads of a ledger at one moment."""

    origin: Origin
    time: datetime
    heads: tuple[Head, ...]
    """By shard, all of them."""


def sign_checkpoint(signer: Signer, checkpoint: Checkpoint) -> str:
    """A compact JWS (Ed25519); `signer` signs for `SIGNER`."""
    claims = {
        "ledger": checkpoint.origin.ledger,
        "shards": checkpoint.origin.shards,
        "time": checkpoint.time.isoformat(),
        "heads": [[head.shard, head.seq, head.hash.hex()] for head in checkpoint.heads],
    }
    return signer.sign(CHECKPOINT, claims)


def read_checkpoint(trust: Trust, statement: str, origin: Origin) -> Checkpoint:
    """The checkpoint that `statement` is; `Forged` unless it was signed for exactly this ledger."""
    claims = trust.verify(CHECKPOINT, statement, {SIGNER})
    try:
        found = _checkpoint(claims)
    except (KeyError, TypeError, ValueError):
        raise Forged("a checkpoint lacks a claim") from None
    if found.origin != origin:
        raise Forged(f"a checkpoint belongs to another ledger, `{found.origin.ledger}`")
    return found


def _checkpoint(claims: Mapping[str, object]) -> Checkpoint:
    heads, shards = claims["heads"], claims["shards"]
    if not isinstance(heads, list) or not isinstance(shards, int):
        raise TypeError
    time = datetime.fromisoformat(str(claims["time"]))
    if time.tzinfo is None or [shard for shard, _, _ in heads] != list(range(shards)):
        raise ValueError
    return Checkpoint(
        Origin(str(claims["ledger"]), shards),
        time,
        tuple(Head(shard, int(seq), bytes.fromhex(hash_)) for shard, seq, hash_ in heads),
    )


NEWLINE = "\n"


class Anchor(Protocol):
    """Where checkpoints are kept outside the database. Nothing in it is ever changed."""

    def append(self, checkpoint: Checkpoint, statement: str) -> None:
        """Keep it for good, or raise `Unavailable`. Blocks; the same one twice does no harm."""

    def statements(self, origin: Origin) -> Iterator[str]:
        """All that were kept for a ledger, in order. Blocks."""


@dataclass(frozen=True)
class FolderAnchor:
    """A file for each ledger and day, a statement per line.

    Several processes may append: a line is one write at the file's end. One that was torn, by a
    full disk or a death, is no statement and stays as it is; the next begins a line of its own.
    """

    folder: Path

    def append(self, checkpoint: Checkpoint, statement: str) -> None:
        ledger, day = checkpoint.origin.ledger, checkpoint.time.date().isoformat()
        path = self.folder / f"{ledger}.{day}.jsonl"
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                line = f'{"" if _whole(file) else NEWLINE}"{statement}"{NEWLINE}'.encode()
                if os.write(file, line) < len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(file)
            finally:
                os.close(file)
        except OSError as error:
            raise Unavailable(
                f"checkpoint cannot be written to `{path}`: {error.strerror}; free or mount it"
            ) from error

    def statements(self, origin: Origin) -> Iterator[str]:
        for path in sorted(self.folder.glob(f"{origin.ledger}.*.jsonl")):
            with path.open(encoding="utf-8", errors="replace") as lines:
                for line in lines:
                    if line.endswith('"\n'):  # else it is still being written, or was torn
                        yield line.strip().strip('"')


def _whole(file: int) -> bool:
    """Whether the last line of an open file has its end."""
    size = os.fstat(file).st_size
    return not size or os.pread(file, 1, size - 1) == NEWLINE.encode()


def moved(heads: Sequence[Head], signed: Sequence[Head]) -> bool:
    """Whether `heads` have grown since those that were signed last.

    `Forged` where they contradict them: then somebody cut or changed the chains, and a signature
    would cover it up.
    """
    was = {head.shard: head for head in signed}
    for head in heads:
        old = was.get(head.shard)
        if old and (head.seq < old.seq or (head.seq == old.seq and head.hash != old.hash)):
            raise Forged(
                f"shard `{head.shard}` ends at `{head.seq}`, and was signed up to `{old.seq}`: the "
                "ledger was cut or changed; verify it, and keep the anchor safe"
            )
    return tuple(heads) != tuple(signed)
