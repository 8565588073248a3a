"""`make conformance`: Interlock as the server, every request of the suite a governed task."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.truth import read_ledger, settled_ledger
from tests.components.ports import lasting_port
from tests.components.required import Missing, without
from tests.components.suite import until
from tests.conformance.bearer import Error, bearing
from tests.conformance.official import Server, Verdict, require_installed, scored
from tests.conformance.stage import Stage, stage

REVISIONS = ("2026-07-28", "2025-11-25")
HANDSHAKE = "2025-11-25"


@pytest.fixture
def port() -> int:
    return lasting_port()


@pytest.fixture
def sticky() -> bool:
    """Whether clients of the handshake era get sessions."""
    return False


@pytest.fixture
def everything(
    tmp_path_factory: pytest.TempPathFactory, port: int, sticky: bool
) -> Iterator[Stage]:
    try:
        require_installed()
    except Missing as missing:
        without("conformance", missing)
    folder, origin = tmp_path_factory.mktemp("conformance"), f"http://127.0.0.1:{port}"
    with stage(folder, origin, sticky=sticky) as made:
        yield made


@pytest.mark.promise("conforms")
@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_the_official_suite_fails_where_the_baseline_says_and_nowhere_else(
    everything: Stage, port: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Both revisions at the same time: half of it is the suite waiting."""
    errors: list[Error] = []
    async with bearing(everything.key, everything.endpoint, port, errors) as url:
        servers = [Server(url, one, tmp_path / one) for one in REVISIONS]
        found = await asyncio.gather(*(one.judge() for one in servers))
        said = [await one.judge_again(first) for one, first in zip(servers, found, strict=True)]
    verdicts = dict(zip(REVISIONS, said, strict=True))
    for revision, verdict in verdicts.items():
        await report(request, revision, "Server", verdict)
    for revision, verdict in verdicts.items():
        assert verdict.agrees, f"{revision}: {verdict.text}"
    await _all_refusals_are_recorded(everything, errors, tmp_path / "refusals.jsonl")
    await _all_was_governed(everything, tmp_path / "ledger.jsonl")


@pytest.mark.promise("conforms")
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("sticky", [True])
async def test_with_sessions_all_of_the_handshake_era_passes(
    everything: Stage, port: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """The era that knows no sessions is not run again: they do not touch it."""
    errors: list[Error] = []
    async with bearing(everything.key, everything.endpoint, port, errors) as url:
        server = Server(url, HANDSHAKE, tmp_path / HANDSHAKE, "sticky")
        verdict = await server.judge_again(await server.judge())
    await report(request, HANDSHAKE, "Server", verdict, " with sessions")
    assert verdict.agrees, verdict.text
    await _all_refusals_are_recorded(everything, errors, tmp_path / "refusals.jsonl")
    await _all_was_governed(everything, tmp_path / "ledger.jsonl")


async def report(
    request: pytest.FixtureRequest, revision: str, role: str, verdict: Verdict, how: str = ""
) -> None:
    """Print how many of the scored scenarios pass."""
    wanted = await scored(revision, role)
    failed = verdict.failed(wanted)
    told = f"{len(wanted) - len(failed)}/{len(wanted)}; failed: {', '.join(failed) or 'none'}"
    if verdict.again:
        told += f"; passed when played again: {', '.join(verdict.again)}"
    plugins = request.config.pluginmanager
    reporter, capture = plugins.get_plugin("terminalreporter"), plugins.get_plugin("capturemanager")
    assert reporter is not None
    assert capture is not None
    with capture.global_and_fixture_disabled():
        reporter.write_line(f"\nMCP {revision}, Interlock as the {role.lower()}{how}: {told}")


async def _all_was_governed(everything: Stage, path: Path) -> None:
    """Whatever reached the upstream is a task that ended, in a whole ledger."""
    asked = everything.executed()
    assert "" not in asked, f"the upstream was asked past the bus: {asked['']}"
    assert {"tools/call"} <= {*asked.values()}
    for task in asked:
        if _waits(everything, task):  # the suite never answers some of what it is asked
            everything.suite.ask("DELETE", f"/v1/tasks/{task}", None, everything.key, wait=0)
    ledger = await settled_ledger(everything.suite, asked, path)
    assert ledger.report.ok, ledger.report.text()
    assert ledger.ends.keys() >= asked.keys()
    assert ledger.types["interlock.task.authorized.v1"] >= len(asked)


def _waits(everything: Stage, task: str) -> bool:
    """Whether it waits for input."""
    told = everything.suite.ask("GET", f"/v1/tasks/{task}", wait=0)
    return str(told["state"]) == "input_required"


async def _all_refusals_are_recorded(everything: Stage, errors: list[Error], path: Path) -> None:
    """One record for each request that the door refused, and none beside.

    What is an upstream's own error is in the ledger as its task's end. A 405 only says that there
    are no sessions, whose streams older clients ask for.
    """
    counted = [one for one in errors if one.status != 405]
    assert counted, "the suite sends what must be refused"

    def recorded() -> bool:
        ledger = read_ledger(everything.suite, path)
        own = Counter(json.loads(text)["message"] for text in ledger.errors if text)
        refused = Counter(one.message for one in counted) - own
        assert ledger.refused.total() <= refused.total(), (ledger.refused, refused)
        return ledger.refused.total() == refused.total()

    # Those of nobody known are counted, and stated once a minute.
    await asyncio.to_thread(until, recorded, "each refusal is in the ledger", within=90)
