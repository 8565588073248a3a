"""The components themselves: that each is real, fresh, and missed out loud where it is required."""

from pathlib import Path

import pytest
from redis import Redis
from sqlalchemy import Connection, text

from interlock.storage import Database
from tests.components.required import REQUIRED, Missing, without
from tests.components.valkey import owner


@pytest.mark.parametrize("turn", [1, 2])
def test_a_redis_is_empty_and_durable_for_each_test(redis_url: str, turn: int) -> None:
    with Redis.from_url(redis_url) as redis:
        assert redis.dbsize() == 0
        redis.set("turn", turn)
        assert redis.config_get("appendfsync") == {"appendfsync": "always"}


@pytest.mark.parametrize("turn", [1, 2])
async def test_a_database_is_empty_for_each_test(database_url: str, turn: int) -> None:
    database = Database(database_url)

    def fill(connection: Connection) -> None:
        connection.execute(text("CREATE TABLE turns (turn INTEGER)"))
        connection.execute(text("INSERT INTO turns VALUES (:turn)"), {"turn": turn})

    try:
        await database.run(fill)
        kept = await database.read(lambda it: it.execute(text("SELECT turn FROM turns")).all())
        assert kept == [(turn,)]
    finally:
        await database.close()


def test_a_missing_component_is_skipped_unless_it_is_required(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(REQUIRED, "postgres")
    with pytest.raises(pytest.skip.Exception, match="valkey is missing: no binary"):
        without("valkey", Missing("no binary"))
    monkeypatch.setenv(REQUIRED, "postgres, valkey")
    with pytest.raises(pytest.fail.Exception, match="valkey is missing: no binary"):
        without("valkey", Missing("no binary"))


def test_an_owner_that_cannot_start_is_missing_with_its_reason(tmp_path: Path) -> None:
    with owner(tmp_path), pytest.raises(Missing, match="running process"), owner(tmp_path):
        pytest.fail("two owners of one folder")
