"""What keeps a suite from starting is told in one line, with exit code 2."""

import re
import socket
import sqlite3
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.components.crm import REPEATABLE, SERVER, arguments
from tests.components.ports import lasting_port
from tests.components.running import program
from tests.components.suite import Suite
from tests.components.world import World, world

BAD_POLICY = (
    "permit (principal, action, resource);\n\nforbid (principal, acton, resource)\nwhen { };\n"
)
SEPARATE = pytest.mark.parametrize("more", [(), ("--separate",)], ids=["together", "separate"])


def up(data: Path, *more: str, port: int | None = None, **env: str) -> tuple[int, str]:
    """`interlock up` that is expected not to come up: its exit code, and what it said."""
    words = ("--data", str(data), "up", "--port", str(port or lasting_port()), *more)
    log = data.parent / f"{data.name}.said"
    log.unlink(missing_ok=True)
    started = program("interlock.cli", *words, env={"INTERLOCK_LOG_LEVEL": "error"} | env, log=log)
    code, said = started.wait(timeout=60), log.read_text("utf-8")
    assert "Traceback" not in said
    return code, said.strip()


def refused(ended: tuple[int, str]) -> str:
    """The one line that says why; each process may say it, and a supervisor whose it was."""
    code, said = ended
    assert code == 2, said
    why, *more = said.split("\n")
    assert why.startswith("interlock: "), said
    assert {line for line in more if "cannot start: see above why" not in line} <= {why}, said
    return why


@SEPARATE
def test_a_port_in_use_is_named(tmp_path: Path, more: tuple[str, ...]) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        said = refused(up(tmp_path / "data", *more, port=port))
    assert f"`127.0.0.1:{port}`" in said
    assert "--port" in said


@SEPARATE
def test_the_data_folder_of_a_running_instance_is_left_alone(
    attacked: World, more: tuple[str, ...]
) -> None:
    said = refused(up(attacked.suite.data, *more))
    assert f"`{attacked.suite.process.pid}`" in said
    assert attacked.suite.ready()


@SEPARATE
def test_a_policy_file_with_a_syntax_error_is_named_with_line_and_column(
    tmp_path: Path, more: tuple[str, ...]
) -> None:
    folder = tmp_path / "policies"
    folder.mkdir()
    (folder / "discounts.cedar").write_text(BAD_POLICY)
    said = refused(up(tmp_path / "data", *more, INTERLOCK_POLICY_FOLDER=str(folder)))
    assert re.search(r"discounts(\.cedar)?:3:20", said), said


@pytest.mark.parametrize("service", ["auth", "registry", "policy", "invocation", "audit"])
def test_a_database_of_a_newer_version_is_left_alone(tmp_path: Path, service: str) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    with closing(sqlite3.connect(data / f"{service}.db")) as database:
        database.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        database.execute("INSERT INTO alembic_version VALUES ('9999')")
        database.commit()
    said = refused(up(data))
    assert f"`{service}`" in said
    assert "`9999`" in said


def test_a_damaged_database_is_named_with_what_to_do(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    (data / "policy.db").write_bytes(b"no database" * 1000)
    said = refused(up(data))
    assert f"`{data}/policy.db` is damaged" in said
    assert "backup" in said


@SEPARATE
def test_a_bus_that_cannot_be_reached_is_named(tmp_path: Path, more: tuple[str, ...]) -> None:
    port = lasting_port()
    url = f"redis://user:secret@127.0.0.1:{port}/0"
    said = refused(up(tmp_path / "data", *more, INTERLOCK_BUS_URL=url))
    assert f"127.0.0.1:{port}" in said
    assert "INTERLOCK_BUS_URL" in said
    assert "secret" not in said


def test_a_suite_that_was_killed_starts_again_on_its_folder(tmp_path: Path) -> None:
    suite = Suite(tmp_path / "data").start()
    try:
        suite.kill()
        suite.start()
        assert suite.ask("GET", "/auth/v1/whoami")["roles"]
    finally:
        suite.stop()


@SEPARATE
def test_a_client_that_listens_does_not_keep_a_suite_from_stopping(
    tmp_path: Path, more: tuple[str, ...]
) -> None:
    with world(tmp_path, *more, env={"INTERLOCK_DRAIN_SECONDS": "2"}) as here:
        here.crm.fail(REPEATABLE, "delay", seconds=120)
        body = {"server": SERVER, "tool": REPEATABLE, "arguments": arguments(REPEATABLE, 1)}
        task = here.suite.ask("POST", "/v1/tasks", body, here.key, wait=0)["id"]
        line = HTTPConnection("127.0.0.1", here.suite.port, timeout=30)
        with closing(line):
            path, token = f"/v1/tasks/{task}/events", f"Bearer {here.key}"
            line.request("GET", path, headers={"Authorization": token})
            stream = line.getresponse()
            assert stream.readline().startswith(b"id: ")
            here.suite.stop()
            stream.read()
