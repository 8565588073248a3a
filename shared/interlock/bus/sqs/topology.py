"""Queues as the topology wants them: what differs, and making it so."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

from botocore.exceptions import ClientError

from interlock.bus.port import Change
from interlock.bus.sqs.address import Address
from interlock.bus.sqs.broker.connection import Connection
from interlock.bus.sqs.faults import MISSING, told
from interlock.bus.sqs.patience import few_at_once, patiently
from interlock.contracts.topics import TOPOLOGY

LONGEST = timedelta(days=14)
"""SQS keeps nothing longer; dead letters are kept as long as it does."""
WALL = 100
"""Receptions after which SQS itself moves a message to its dead letters. We give up long before;
this is for what no process of ours survives to say anything of."""
VISIBILITY, RETENTION, SIZE = "VisibilityTimeout", "MessageRetentionPeriod", "MaximumMessageSize"
REDRIVE, ARN = "RedrivePolicy", "QueueArn"


@dataclass(frozen=True)
class Wanted:
    """One queue. Seconds and bytes."""

    name: str
    dead: str | None
    """Its dead letters' queue; None for one of these."""
    retention: int
    visibility: int
    size: int


@dataclass(frozen=True)
class Found:
    """What there is of it."""

    wanted: Wanted
    attributes: dict[str, str] | None = field(repr=False)
    """None where it is missing."""


def wanted(address: Address) -> Iterator[Wanted]:
    """Dead letters' queues first: the others refer to them."""
    pairs = [(topic, spec, group) for topic, spec in TOPOLOGY.items() for group in spec.groups]
    longest = int(LONGEST.total_seconds())
    for topic, _, group in pairs:
        yield Wanted(address.dead(topic, group), None, longest, address.visibility, address.limit)
    for topic, spec, group in pairs:
        retention = int(min(spec.retention, LONGEST).total_seconds())
        name, dead = address.queue(topic, group), address.dead(topic, group)
        yield Wanted(name, dead, retention, address.visibility, address.limit)


async def look(connection: Connection, address: Address) -> list[Found]:
    """`Refused` where we may not look."""
    return await few_at_once(partial(_look, connection, address, one) for one in wanted(address))


async def _look(connection: Connection, address: Address, want: Wanted) -> Found:
    with told(address.told, want.name, running=False):
        try:
            return Found(want, await patiently(lambda: connection.attributes(want.name)))
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") not in MISSING:
                raise
            connection.forget(want.name)
            return Found(want, None)


def changes(found: Found) -> Iterator[Change]:
    """How it differs. What is kept longer, or taken larger, than wanted is no difference."""
    want, what = found.wanted, f"queue `{found.wanted.name}`"
    if found.attributes is None:
        yield Change(what, "missing", "there")
        return
    there = found.attributes
    seen = int(there.get(VISIBILITY, want.visibility))
    if seen != want.visibility:
        yield Change(what, f"visibility={seen}", f"visibility={want.visibility}")
    for name, attribute, least in (
        ("retention", RETENTION, want.retention),
        ("size", SIZE, want.size),
    ):
        least_found = int(there.get(attribute, least))
        if least_found < least:
            yield Change(what, f"{name}={least_found}", f"{name}={least}")
    found_dead, wanted_dead = dead_of(there), want.dead or "none"
    if found_dead != wanted_dead:
        # Another's letters may lie there, and others may rely on it: a person decides.
        safe = found_dead == "none"
        yield Change(what, f"dead letters to {found_dead}", f"dead letters to {wanted_dead}", safe)


def dead_of(attributes: dict[str, str]) -> str:
    """The queue to which SQS moves what is received too often."""
    try:
        arn = json.loads(attributes.get(REDRIVE) or "{}").get("deadLetterTargetArn", "")
    except ValueError:
        return "?"
    return str(arn).rpartition(":")[2] or "none"


async def make(connection: Connection, address: Address) -> None:
    """Every safe change."""
    arns: dict[str, str] = {}
    found = await look(connection, address)
    for dead in (True, False):
        todo = [one for one in found if (one.wanted.dead is None) is dead]
        await few_at_once(partial(_make, connection, address, one, arns) for one in todo)


async def _make(
    connection: Connection, address: Address, found: Found, arns: dict[str, str]
) -> None:
    with told(address.told, found.wanted.name, running=False):
        await patiently(lambda: _changed(connection, found, arns))


async def _changed(connection: Connection, found: Found, arns: dict[str, str]) -> None:
    """As often as one likes: SQS makes a queue once."""
    want, there = found.wanted, found.attributes
    client = await connection.client()
    differ = list(changes(found))
    if there is None:
        await client.create_queue(QueueName=want.name, Attributes=_attributes(want, arns))
    elif differ and all(change.safe for change in differ):
        keep = {
            name: max(value, there.get(name, value), key=int)
            for name, value in _attributes(want, arns).items()
            if name in (RETENTION, SIZE)
        }
        await client.set_queue_attributes(
            QueueUrl=await connection.url(want.name),
            Attributes=_attributes(want, arns) | keep,
        )
    if want.dead is None:
        arns[want.name] = (there or await connection.attributes(want.name))[ARN]


def _attributes(want: Wanted, arns: dict[str, str]) -> dict[str, str]:
    attributes = {
        VISIBILITY: str(want.visibility),
        RETENTION: str(want.retention),
        SIZE: str(want.size),
    }
    if want.dead is not None:
        policy = {"deadLetterTargetArn": arns[want.dead], "maxReceiveCount": WALL}
        attributes[REDRIVE] = json.dumps(policy)
    return attributes
