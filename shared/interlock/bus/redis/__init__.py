"""The bus on Redis Streams (Redis or Valkey, 7 or newer; embedded, and anywhere it is at hand).

FastStream's `RedisBroker` owns the connections and describes the topology (AsyncAPI), but does
not read: its batch path costs 25 µs a message and its single path 60 to 70, it holds one blocking
connection for each stream, starts new groups at the end of the stream, and neither reclaims, nor
retries with delay, nor trims (`reference/bus.md`). Here one XREADGROUP covers all streams of a
group, and a batch's effects and acknowledgements are one MULTI/EXEC.
"""

from interlock.bus.redis.bus import RedisBus

__all__ = ["RedisBus"]
