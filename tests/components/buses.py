"""A bus of one's own for a suite, on any transport."""

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest

from tests.components.elasticmq import CREDENTIALS

BUSES = ("redis", "kafka", "sqs")
"""`redis` is the suite's own Valkey."""


@contextmanager
def bus_of_its_own(name: str, request: pytest.FixtureRequest) -> Iterator[Mapping[str, str]]:
    """What a suite is told of it: a part that nobody else uses of a broker that all tests share.

    For agents on the bus, who are in this process, its credentials hold as long as the block lasts.
    """
    own = f"own-{secrets.token_hex(4)}"
    if name == "kafka":
        url = request.getfixturevalue("kafka_url")
        yield {"INTERLOCK_BUS_URL": url, "INTERLOCK_PREFIX": f"{own}:"}
    elif name == "sqs":
        endpoint = request.getfixturevalue("sqs_endpoint")
        with pytest.MonkeyPatch.context() as patched:
            for variable, value in CREDENTIALS.items():
                patched.setenv(variable, value)
            yield {"INTERLOCK_BUS_URL": f"sqs://elasticmq/{own}?endpoint={endpoint}&wait=1"}
    else:
        yield {}
