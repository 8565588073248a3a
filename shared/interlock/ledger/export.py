"""A ledger as one file: gzip'ed JSON lines, written and read as a stream.

First what it is and its newest checkpoint, which says up to when it reaches; then the checkpoints
before; then the records, each shard in order; last how many there are, so a file that was cut off
in transit is told from a ledger that was.
"""

import gzip
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from interlock.errors import Refused
from interlock.ledger.record import FORMAT, Entry, Origin, Record

MOST_SHARDS = 1024


class ExportWriter:
    """Turns a ledger into the file's bytes, piece by piece. Pieces may be empty."""

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(level=1, wbits=31)  # 31: with gzip's header
        self._records = 0

    def begin(self, origin: Origin, as_of: str) -> bytes:
        """`as_of`: the signed checkpoint of the heads up to which records follow."""
        return self._line(
            {
                "format": FORMAT,
                "ledger": origin.ledger,
                "shards": origin.shards,
                "as_of": as_of,
            }
        )

    def checkpoint(self, statement: str) -> bytes:
        return self._line({"checkpoint": statement})

    def record(self, record: Record) -> bytes:
        self._records += 1
        return self._line({"record": _fields(record)})

    def end(self) -> bytes:
        return self._line({"records": self._records}) + self._deflate.flush()

    def _line(self, value: Mapping[str, Any]) -> bytes:
        return self._deflate.compress(orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE))


@dataclass(frozen=True, slots=True)
class Beginning:
    """An export's first line."""

    origin: Origin
    as_of: str


@dataclass(frozen=True, slots=True)
class End:
    """An export's last line."""

    records: int


def read_export(path: Path) -> Iterator[Beginning | str | Record | End]:
    """The beginning, checkpoints as strings, records, and the end if it is there.

    A file that was cut off ends without `End`. Raises `Refused` where it is no export.
    """
    read = 0
    try:
        with gzip.open(path) as lines:
            for line in lines:
                yield _read(orjson.loads(line))
                read += 1
    except EOFError:
        return
    except FileNotFoundError:
        raise Refused(f"there is no file `{path}`") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, zlib.error):
        raise Refused(f"line `{read + 1}` of `{path}` is no line of a ledger's export") from None


def _fields(record: Record) -> list[Any]:
    chain = [record.shard, record.seq, record.previous.hex(), record.hash.hex()]
    entry = record.entry
    if entry is None:
        return chain
    return [
        *chain,
        entry.event_id,
        entry.tenant,
        entry.subject,
        entry.arrived_at,
        b64encode(entry.kept).decode(),
        entry.fault,
        entry.reason,
    ]


def _read(line: Mapping[str, Any]) -> Beginning | str | Record | End:
    if "record" in line:
        return _record(line["record"])
    if "checkpoint" in line:
        return str(line["checkpoint"])
    if "records" in line:
        return End(int(line["records"]))
    if line["format"] != FORMAT or not 1 <= _whole(line["shards"]) <= MOST_SHARDS:
        raise ValueError
    return Beginning(Origin(str(line["ledger"]), int(line["shards"])), str(line["as_of"]))


def _record(fields: list[Any]) -> Record:
    shard, seq, previous, hash_, *rest = fields
    entry = None
    if rest:
        event_id, tenant, subject, arrived_at, kept, fault, reason = rest
        if not all(map(str.isprintable, (event_id, tenant, subject, fault))):
            raise ValueError
        entry = Entry(event_id, tenant, subject, _whole(arrived_at), b64decode(kept), fault, reason)
    return Record(_whole(shard), _whole(seq), bytes.fromhex(previous), bytes.fromhex(hash_), entry)


def _whole(number: Any) -> int:
    """A count or a time as this suite writes them."""
    if not isinstance(number, int) or not 0 <= number < 2**62:
        raise ValueError
    return number
