"""The whole suite on SQS: the URL is the only difference."""

from pathlib import Path

import pytest

from tests.chaos.load import load_on
from tests.chaos.truth import faults_of
from tests.components.buses import bus_of_its_own
from tests.components.world import world

pytestmark = pytest.mark.slow


async def test_governed_calls_over_http_and_over_sqs_end_once_and_are_in_the_ledger(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    with bus_of_its_own("sqs", request) as env, world(tmp_path, env=env) as here:
        async with load_on(here) as load:
            await load.run(20)
            ended = await load.ended()
        assert {outcome.state for outcome in ended.values()} == {"succeeded"}
        assert await faults_of(here, load.asked, ended, tmp_path / "export.gz") == []
        status = here.suite.ask("GET", "/policy/v1/status")
        assert (status["waiting"], status["dead"]) == (0, 0)
