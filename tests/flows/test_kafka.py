"""The whole suite on Kafka: the URL is the only difference."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.load import load_on
from tests.chaos.truth import faults_of
from tests.components.kafka import PATIENT, Broker, kafka, quick_folder
from tests.components.required import Missing, without
from tests.components.world import world

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """One whose topics begin with the usual prefix."""
    try:
        with (
            quick_folder(tmp_path_factory.mktemp("kafka")) as folder,
            kafka(folder, PATIENT) as running,
        ):
            yield running
    except Missing as missing:
        without("kafka", missing)


@pytest.mark.parametrize("more", [(), ("--separate",)], ids=["together", "separate"])
async def test_governed_calls_over_http_and_over_kafka_end_once_and_are_in_the_ledger(
    broker: Broker, tmp_path: Path, more: tuple[str, ...]
) -> None:
    with world(tmp_path, *more, env={"INTERLOCK_BUS_URL": broker.url}) as here:
        async with load_on(here) as load:
            await load.run(40)
            ended = await load.ended()
        assert {outcome.state for outcome in ended.values()} == {"succeeded"}
        assert await faults_of(here, load.asked, ended, tmp_path / "export.gz") == []
        status = here.suite.ask("GET", "/policy/v1/status")
        assert (status["waiting"], status["dead"]) == (0, 0)
        assert here.suite.ask("GET", "/asyncapi.json")["asyncapi"] == "3.0.0"
