"""CPU of a suite by service and by kind of work, sampled from within (`tests.bench.sampled`)."""

import json
import os
import signal
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.bench.sampled import FILE
from tests.components.suite import Suite, until

Sums = dict[tuple[str, str, str], float]
TOP = 12


@contextmanager
def sampled_suite(folder: Path, env: Mapping[str, str]) -> Iterator[Suite]:
    """`interlock up` in one process, which looks at itself while it works."""
    folder.mkdir()
    file = folder / "samples.json"
    running = Suite(folder / "data", env={**env, FILE: str(file)}, module="tests.bench.sampled")
    try:
        yield running.start()
    finally:
        running.stop()


def work_of(running: Suite, load: Callable[[], int]) -> dict[str, Any]:
    """What `load` costs, µs of CPU for each of the calls that it says it made."""
    before = _sums(running)
    calls = load()
    after = _sums(running)
    spent = {key: (seconds - before.get(key, 0.0)) / calls * 1e6 for key, seconds in after.items()}
    return {
        "us_a_call": round(sum(spent.values())),
        "by_kind": _by(spent, 1),
        "by_service": _by(spent, 0),
        "by_service_and_kind": {
            service: _by({key: us for key, us in spent.items() if key[0] == service}, 1)
            for service in _by(spent, 0)
        },
        "most_in": dict(list(_by(spent, 2).items())[:TOP]),
    }


def _by(spent: Sums, place: int) -> dict[str, int]:
    sums: defaultdict[str, float] = defaultdict(float)
    for key, us in spent.items():
        sums[key[place]] += us
    ordered = sorted(sums.items(), key=lambda one: -one[1])
    return {name: round(us) for name, us in ordered if round(us) > 0}


def _sums(running: Suite) -> Sums:
    """The sums so far, asked for and waited for."""
    file = Path(running.env[FILE])
    before = _written(file)
    os.kill(running.process.pid, signal.SIGUSR1)
    until(lambda: _written(file) > before, "the samples are written", running.process)
    rows = json.loads(file.read_text("utf-8"))["rows"]
    return {(service, kind, function): seconds for service, kind, function, seconds in rows}


def _written(file: Path) -> int:
    return int(json.loads(file.read_text("utf-8"))["written"]) if file.exists() else 0
