"""Programs that tests start."""

import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from tests.components.running import program
from tests.components.suite import until

COLD = pytest.mark.parametrize("cold", [False, True], ids=["forked", "cold"])
UNKNOWN = ("interlock.samples.crm", "--no-such-option")


@COLD
def test_a_program_ends_with_its_code_and_its_words_are_in_its_log(
    tmp_path: Path, cold: bool
) -> None:
    log = tmp_path / "log"
    assert program(*UNKNOWN, log=log, cold=cold).wait(timeout=60) == 2
    assert "unrecognized arguments: --no-such-option" in log.read_text("utf-8")


@COLD
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_program_is_shown_by_its_command_and_ended_by_a_signal(
    cold: bool, number: signal.Signals
) -> None:
    words = ["-m", "interlock.samples.echo", "--port", "0"]
    running = program(*words[1:], cold=cold)
    shown = psutil.Process(running.pid)
    until(lambda: [word for word in shown.cmdline() if word][1:] == words, "it shows", running)
    with pytest.raises(subprocess.TimeoutExpired):
        running.wait(timeout=0)
    assert running.poll() is None
    running.send_signal(number)
    assert running.wait(timeout=60) in {-number, 0}
    assert running.poll() == running.wait()
