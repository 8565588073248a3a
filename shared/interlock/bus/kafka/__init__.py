"""The bus on Kafka (4.x, MSK).

FastStream's `KafkaBroker` owns the connections of producer and admin client, builds consumers and
describes the topology (AsyncAPI), but does not read or publish: its batches cost four times the
raw client's, its acknowledgement commits whatever was read, by default before it was handled, and
nothing in it retries with delay (`reference/bus.md`). Here `getmany` reads, a batch's effects are
flushed by an idempotent producer with `acks=all`, and then exact offsets are committed.
"""

from interlock.bus.kafka.bus import KafkaBus

__all__ = ["KafkaBus"]
