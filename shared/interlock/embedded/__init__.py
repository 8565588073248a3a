"""The embedded broker: a Valkey server under our own supervision, durable through kill -9.

`valkey(data)` owns the server of one data folder: it starts it, restarts it when it dies, and takes
it down with itself. Any other process of the same instance calls `attach(data)` for the address.
Who already has a bus URL needs neither.
"""

from interlock.embedded.server import Options, ValkeyServer, attach, valkey

__all__ = ["Options", "ValkeyServer", "attach", "valkey"]
