"""What kind of work a thread is at, and for which service, told by its stack."""

import re
from collections.abc import Sequence
from typing import NamedTuple


class Place(NamedTuple):
    """A function on a stack."""

    file: str
    function: str
    group: str = ""
    """The consumer group that it works for, where it is the bus's."""


KINDS: Sequence[tuple[str, str]] = (
    ("crypto", r"/(joserfc|cryptography)/|/hmac\.py|identity/(jose|statements|submissions)\.py"),
    ("crypto", r"bus/wire\.py:(canonical|Keyring\.|believe|letter_id|body_digest)"),
    ("crypto", r"contracts/task\.py:(digest_of|request_digest)|ledger/(record|chain)\.py"),
    ("JSON and models", r"/(pydantic|pydantic_core|orjson|jsonschema|referencing)/|/json/"),
    ("JSON and models", r"bus/wire\.py|interlock/contracts/|gateway/decide/text\.py"),
    ("JSON and models", r"invocation/clients/text\.py|gateway/http/body\.py|/uuid\.py"),
    ("SQL", r"/(sqlalchemy|sqlite3|asyncpg)/|interlock/storage/|policy/store/|audit/store\.py"),
    ("SQL", r"(invocation|auth)/store/|registry/store\.py"),
    ("Redis", r"/(redis|hiredis)/|bus/redis/|gateway/store/|interlock/state/|/async_timeout/"),
    ("Kafka", r"/aiokafka/|bus/kafka/"),
    ("HTTP", r"/(uvicorn|starlette|aiohttp|httptools|h11|multidict|yarl)/"),
    (
        "HTTP",
        r"gateway/http/|invocation/clients/|runtime/door\.py|identity/(asgi|tokens|caller)\.py",
    ),
    ("Cedar", r"/cedarpy/|interlock/policy/"),
    ("logs, metrics, traces", r"/(structlog|logging|prometheus_client|opentelemetry)/"),
    ("logs, metrics, traces", r"interlock/telemetry/"),
    ("tasks and batches", r"bus/(handling|batch|outcome|verdict)\.py|handlers/combine\.py"),
    ("event loop", r"/(asyncio|uvloop|concurrent|selectors|threading|queue|contextlib)[/.]"),
    ("the services' own", r"/services/|/interlock/"),
)
"""The first that fits the innermost function that any fits."""
_KINDS = [(kind, re.compile(pattern)) for kind, pattern in KINDS]
_SERVICE = re.compile(r"/services/([a-z]+)/")


def kind_of(stack: Sequence[Place]) -> str:
    """The kind of the innermost function that is of any."""
    for place in stack:
        named = f"{place.file}:{place.function}"
        for kind, pattern in _KINDS:
            if pattern.search(named):
                return kind
    return "other"


def service_of(stack: Sequence[Place], thread: str) -> str:
    """The service whose code is on the stack, or for which the bus or a database's thread works.

    What all share is the event loop's, the HTTP server's and published state's.
    """
    if thread.startswith("sqlite-"):
        return thread.removeprefix("sqlite-").removesuffix("-flush")
    for place in stack:
        if place.group:
            return place.group
        if found := _SERVICE.search(place.file):
            return found[1]
    return "shared"
