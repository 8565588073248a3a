"""The bus on Amazon SQS, or on what speaks its protocol.

A standard queue for each topic and group; the publisher sends to each. `broker` is a FastStream
broker that knows nothing of Interlock. The bus reads with the raw client over its connection:
FastStream handles one message at a time.
"""

from interlock.bus.sqs.bus import SqsBus

__all__ = ["SqsBus"]
