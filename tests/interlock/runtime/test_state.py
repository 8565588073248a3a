"""Published state, as a whole process reads it."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from redis import Redis

from tests.components.suite import Suite, answers, suite, until

COUNTER = "interlock:state-counter:agents"


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Suite]:
    with suite(tmp_path / "data") as found:
        yield found


def test_a_process_gets_over_what_no_reader_can_read(running: Suite) -> None:
    """Whoever breaks a counter in Redis stops the suite, and only for as long as it is broken."""
    ready = f"{running.url}/health/ready"
    with closing(Redis.from_url(running.bus_url)) as redis:
        was = redis.get(COUNTER)
        redis.set(COUNTER, "broken")
        until(lambda: answers(ready) == 503, "the process notices")
        redis.set(COUNTER, was or 0)
    until(lambda: answers(ready) == 200, "the process is ready again")
