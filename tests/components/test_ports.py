"""That a port which a server is to have is nobody else's when it starts."""

import socket

import pytest

from tests.components.ports import RANGE, WORKERS, lasting_port, ports_of


def test_no_two_are_given_the_same() -> None:
    given = [lasting_port() for _ in range(200)]
    assert len(set(given)) == len(given)
    of_all = [port for worker in range(WORKERS) for port in ports_of(worker)]
    assert len(set(of_all)) == len(of_all)


@pytest.mark.skipif(not RANGE.exists(), reason="only Linux says which ports it gives to whom")
def test_the_system_gives_none_of_them_to_anybody() -> None:
    first, last = map(int, RANGE.read_text().split())
    assert not any(first <= port <= last for worker in range(WORKERS) for port in ports_of(worker))


def test_one_that_somebody_listens_on_is_passed_over() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port := lasting_port()))
        taken.listen()
        assert port not in {lasting_port() for _ in ports_of(0)}
