"""A FastStream broker on Amazon SQS, through aioboto3. It knows nothing of Interlock.

Standard queues, not FIFO, which neither delay a single message nor take an id twice. All headers
travel in one JSON attribute; what is no text travels as base64. A handler that fails has its
message come again, later each time; while it runs, nobody else is given it.

FastStream has no interface for brokers of others: this one stands on `faststream._internal`, and
`tests/interlock/bus/sqs/test_imports.py` says on what of it.
"""

from interlock.bus.sqs.broker.broker import SqsBroker
from interlock.bus.sqs.broker.configs import Reading
from interlock.bus.sqs.broker.connection import Connection, Place
from interlock.bus.sqs.broker.message import Received, SqsMessage
from interlock.bus.sqs.broker.publisher import SqsPublisher
from interlock.bus.sqs.broker.response import SqsPublishCommand, SqsResponse
from interlock.bus.sqs.broker.router import SqsRouter
from interlock.bus.sqs.broker.subscriber import SqsSubscriber

__all__ = [
    "Connection",
    "Place",
    "Reading",
    "Received",
    "SqsBroker",
    "SqsMessage",
    "SqsPublishCommand",
    "SqsPublisher",
    "SqsResponse",
    "SqsRouter",
    "SqsSubscriber",
]
