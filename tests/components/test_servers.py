"""Servers that all workers of a run share."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

import pytest

from tests.components.required import Missing
from tests.components.servers import Asked, Own


@dataclass
class Toy:
    """A server that only says what becomes of it."""

    told: list[str] = field(default_factory=list)

    @contextmanager
    def __call__(self) -> Iterator[str]:
        self.told.append("started")
        yield "toy://here"
        self.told.append("ended")


@contextmanager
def lacking() -> Iterator[str]:
    raise Missing("install it")
    yield ""


def test_a_server_is_started_once_when_it_is_first_needed_and_ends_with_the_run() -> None:
    toy = Toy()
    with closing(Own({"toy": toy})) as own, ThreadPoolExecutor(4) as workers:
        asked = Asked(own.path)
        assert not toy.told
        found = [*workers.map(lambda _: asked.url("toy"), range(8)), own.url("toy")]
        assert {*found} == {"toy://here"}
        assert toy.told == ["started"]
    assert toy.told == ["started", "ended"]


def test_what_this_machine_lacks_is_missing_for_everybody() -> None:
    with closing(Own({"lacking": lacking})) as own:
        for one in (own, Asked(own.path)):
            with pytest.raises(Missing, match="install it"):
                one.url("lacking")
