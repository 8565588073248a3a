"""Processes of services that were forked from a warm one: what they share, and what they do not."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from interlock.contracts.topics import SERVICES
from tests.components.suite import Suite, suite, until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is forked")


@pytest.fixture(scope="module")
def separate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    with suite(tmp_path_factory.mktemp("warm") / "data", "--separate") as running:
        yield running


def pids(running: Suite) -> list[int]:
    """Of each service's process, each called by its service's name."""
    found = [running.pid(service) for service in SERVICES]
    return [pid for pid in found if pid is not None]


def warm(running: Suite) -> psutil.Process:
    """The process that forks."""
    (parent,) = {psutil.Process(pid).ppid() for pid in pids(running)}
    return psutil.Process(parent)


def test_every_service_is_a_fork_of_the_warm_process_and_shown_by_its_name(separate: Suite) -> None:
    assert len(set(pids(separate))) == len(SERVICES)
    assert warm(separate).ppid() == separate.process.pid


def test_no_two_processes_share_a_socket_or_a_pipe(separate: Suite) -> None:
    processes = [separate.process.pid, warm(separate).pid, *pids(separate)]
    seen: set[str] = set()
    for pid in processes:
        fds = [fd for fd in Path(f"/proc/{pid}/fd").iterdir() if int(fd.name) > 2]
        links = {str(fd.readlink()) for fd in fds if fd.is_symlink()}
        mine = {link for link in links if link.startswith(("socket:", "pipe:"))}
        assert not mine & seen
        seen |= mine


def test_one_that_was_told_to_stop_ends_and_another_is_forked(separate: Suite) -> None:
    first = separate.pid("audit")
    assert first is not None
    process = psutil.Process(first)
    process.terminate()
    process.wait(timeout=40)
    until(lambda: separate.pid("audit") not in {None, first}, "another was forked")
    until(separate.ready, "all are ready")


def test_without_the_warm_process_each_is_an_interpreter_of_its_own(separate: Suite) -> None:
    before = pids(separate)
    warm(separate).kill()
    psutil.wait_procs([psutil.Process(pid) for pid in before if psutil.pid_exists(pid)], 10)
    until(lambda: len(set(pids(separate)) - set(before)) == len(SERVICES), "others were started")
    until(separate.ready, "all are ready")
    assert {psutil.Process(pid).ppid() for pid in pids(separate)} == {separate.process.pid}


def test_nothing_is_forked_where_somebody_has_a_thread() -> None:
    program = (
        "import threading, time; from interlock.runtime.settings import SuiteSettings;"
        "from interlock.runtime.warm import warm;"
        "threading.Thread(target=time.sleep, args=(600,), daemon=True).start();"
        "print(warm(SuiteSettings()))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=100
    )
    assert ran.stdout == "None\n"
