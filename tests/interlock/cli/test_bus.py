"""`interlock bus`: it needs no service, so it runs here as a process of its own."""

import json
from pathlib import Path
from secrets import token_hex

import pytest
from redis import Redis

from tests.components.elasticmq import CREDENTIALS
from tests.components.ports import lasting_port
from tests.components.running import Ran, ran
from tests.components.world import World


def bus(*words: str, data: Path) -> Ran:
    return ran("interlock.cli", "--data", str(data), "bus", *words)


@pytest.fixture(params=["redis", "sqs", "kafka"])
def url(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A broker of each transport, and nothing of ours on it."""
    monkeypatch.setenv("INTERLOCK_PREFIX", f"test-{token_hex(4)}:")
    found: str = request.getfixturevalue(f"{request.param}_url")
    return found


def test_plan_shows_what_apply_makes_and_check_holds_it(url: str, tmp_path: Path) -> None:
    planned = bus("plan", "--bus-url", url, "--json", data=tmp_path)
    assert planned.code == 0, planned
    changes = json.loads(planned.out)["changes"]
    assert all(one["found"] == "missing" and one["safe"] for one in changes)
    differs = bus("check", "--bus-url", url, data=tmp_path)
    assert differs.code == 1
    assert differs.out.splitlines()[0].split("\t") == ["what", "found", "wanted", "how"]
    assert len(differs.out.splitlines()) == 1 + len(changes)
    applied = bus("apply", "--bus-url", url, "--json", data=tmp_path)
    assert applied.code == 0, applied
    assert json.loads(applied.out) == {"made": changes, "left": []}
    right = bus("check", "--bus-url", url, data=tmp_path)
    assert (right.code, right.out) == (0, "")
    assert right.err == "the bus is as the topology wants it\n"


def test_what_could_lose_messages_is_left_to_a_person_who_is_told_what_to_do(
    redis_url: str, tmp_path: Path
) -> None:
    with Redis.from_url(redis_url) as redis:
        redis.set("interlock:bus:task.events", "somebody's")
    ran = bus("apply", "--bus-url", redis_url, data=tmp_path)
    assert ran.code == 1
    assert "by hand: find out whose it is, then `RENAME interlock:bus:task.events" in ran.out
    assert "`1` differences are left to a person" in ran.err


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("redis://user:secret@PLACE", "cannot reach the bus at `redis://PLACE"),
        ("kafka://user:secret@PLACE", "cannot reach Kafka at `PLACE`"),
        ("sqs://eu-west-1/prod?endpoint=http://PLACE", "SQS at http://PLACE cannot be reached"),
        ("amqp://user:secret@PLACE", "`amqp` is no scheme of a bus's URL; give one of `redis://`"),
        ("kafka://user:secret@PLACE?acks=0", "`acks` is no option of a Kafka URL; there are"),
        ("sqs://eu-west-1/prod?wait=99", "a number from 1 to 20"),
    ],
)
def test_a_bus_that_cannot_be_is_one_line_without_its_password_and_exit_code_2(
    url: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    place = f"127.0.0.1:{lasting_port()}"
    for command in ("plan", "apply", "check") if url.startswith("redis") else ("check",):
        ran = bus(command, "--bus-url", url.replace("PLACE", place), data=tmp_path)
        assert (ran.code, ran.out) == (2, ""), ran
        assert ran.err.startswith("interlock: ")
        assert says.replace("PLACE", place) in ran.err
        assert ran.err.count("\n") == 1
        assert "secret" not in ran.err


def test_without_a_url_the_data_folder_has_the_bus_whether_its_suite_runs_or_not(
    governed: World, tmp_path: Path
) -> None:
    assert bus("check", data=governed.suite.data).code == 0
    assert bus("check", data=tmp_path).code == 1
