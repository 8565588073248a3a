"""`python -m tests.bench.sampled <command…>`: the `interlock` command, looked at while it works.

A timer of the process's CPU time (setitimer(2), ITIMER_PROF) interrupts the main thread; the CPU
that each thread has had since the last look (pthread_getcpuclockid(3)) is counted for where that
thread stands now. SIGUSR1 has the sums written to `$INTERLOCK_BENCH_SAMPLES`.
"""

import json
import os
import signal
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path
from types import FrameType

from interlock.cli.main import run
from tests.bench.kinds import Place, kind_of, service_of

EVERY = 0.005
BUS = ("bus/redis/member.py", "bus/redis/pulse.py", "bus/handling.py", "bus/kafka/member.py")
FILE = "INTERLOCK_BENCH_SAMPLES"


class Sampler:
    """Sums of CPU seconds by service, kind of work and function."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._sums: defaultdict[tuple[str, str, str], float] = defaultdict(float)
        self._seen: dict[int, float] = {}
        self._written = 0

    def start(self) -> None:
        signal.signal(signal.SIGPROF, self._look)
        signal.signal(signal.SIGUSR1, self._write)
        signal.setitimer(signal.ITIMER_PROF, EVERY, EVERY)

    def _look(self, _: int, frame: FrameType | None) -> None:
        main = threading.get_ident()
        frames = sys._current_frames()
        for thread in threading.enumerate():
            if thread.ident is None or thread.native_id is None:
                continue
            spent = time.clock_gettime(time.pthread_getcpuclockid(thread.ident))
            new, self._seen[thread.native_id] = spent - self._seen.get(thread.native_id, 0), spent
            if new > 0:
                at = frame if thread.ident == main else frames.get(thread.ident)
                stack = _stack(at)
                key = (service_of(stack, thread.name), kind_of(stack), _name(stack))
                self._sums[key] += new

    def _write(self, _: int, frame: FrameType | None) -> None:
        self._written += 1
        # In one step: a look may interrupt this, too, and find what was never seen before.
        sums = list(self._sums.items())
        rows = [[*key, seconds] for key, seconds in sums]
        partial = self._file.with_suffix(".new")
        partial.write_text(json.dumps({"written": self._written, "rows": rows}))
        partial.rename(self._file)


def _stack(frame: FrameType | None) -> list[Place]:
    """Innermost first."""
    stack = []
    while frame is not None:
        code = frame.f_code
        group = _group(frame) if code.co_filename.endswith(BUS) else ""
        stack.append(Place(code.co_filename, code.co_qualname, group))
        frame = frame.f_back
    return stack


def _group(frame: FrameType) -> str:
    its = getattr(frame.f_locals.get("self"), "_group", None)
    return its if isinstance(its, str) else getattr(its, "name", "")


def _name(stack: list[Place]) -> str:
    if not stack:
        return "-"
    at = stack[0]
    return f"{'/'.join(at.file.split('/')[-3:])}:{at.function}"


if __name__ == "__main__":
    Sampler(Path(os.environ[FILE])).start()
    run()
