"""`make conformance`: Interlock as the server, every request of the suite a governed task."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from interlock.runtime.supervisor import free_port
from tests.chaos.truth import settled_ledger
from tests.components.required import Missing, without
from tests.conformance.bearer import bearing
from tests.conformance.official import Verdict, judge_server, require_installed, scored
from tests.conformance.stage import Stage, stage

REVISIONS = ("2026-07-28", "2025-11-25")


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory, port: int) -> Iterator[Stage]:
    try:
        require_installed()
    except Missing as missing:
        without("conformance", missing)
    with stage(tmp_path_factory.mktemp("conformance"), f"http://127.0.0.1:{port}") as made:
        yield made


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_the_official_suite_fails_where_the_baseline_says_and_nowhere_else(
    everything: Stage, port: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Both revisions at the same time: half of it is the suite waiting."""
    async with bearing(everything.key, everything.endpoint, port) as url:
        runs = [judge_server(url, one, tmp_path / one) for one in REVISIONS]
        verdicts = dict(zip(REVISIONS, await asyncio.gather(*runs), strict=True))
    for revision, verdict in verdicts.items():
        await report(request, revision, "Server", verdict)
    for revision, verdict in verdicts.items():
        assert verdict.agrees, f"{revision}: {verdict.text}"
    await _all_was_governed(everything, tmp_path / "ledger.jsonl")


async def report(
    request: pytest.FixtureRequest, revision: str, role: str, verdict: Verdict
) -> None:
    """Print how many of the scored scenarios pass."""
    wanted = await scored(revision, role)
    failed = verdict.failed(wanted)
    told = f"{len(wanted) - len(failed)}/{len(wanted)}; failed: {', '.join(failed) or 'none'}"
    plugins = request.config.pluginmanager
    reporter, capture = plugins.get_plugin("terminalreporter"), plugins.get_plugin("capturemanager")
    assert reporter is not None
    assert capture is not None
    with capture.global_and_fixture_disabled():
        reporter.write_line(f"\nMCP {revision}, Interlock as the {role.lower()}: {told}")


async def _all_was_governed(everything: Stage, path: Path) -> None:
    """Whatever reached the upstream is a task that ended or waits for input, in a whole ledger."""
    asked = everything.executed()
    assert "" not in asked, f"the upstream was asked past the bus: {asked['']}"
    assert {"tools/call"} <= {*asked.values()}
    ledger = await settled_ledger(everything.suite, asked, path)
    assert ledger.report.ok, ledger.report.text()
    without_end = {task: method for task, method in asked.items() if task not in ledger.ends}
    # The suite never answers some of what it is asked: those tasks wait until their deadline.
    states = {everything.suite.ask("GET", f"/v1/tasks/{task}")["state"] for task in without_end}
    assert states <= {"input_required"}, without_end
    assert ledger.types["interlock.task.authorized.v1"] >= len(asked)
