"""The supervisor against a real server: what it promises about lives, locks and writes."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff
from redis.exceptions import OutOfMemoryError, RedisError

from interlock.embedded import Options, ValkeyServer, attach, valkey
from interlock.embedded.binary import find_server
from interlock.embedded.folder import Folder, url_of
from interlock.embedded.process import Launch, launch
from interlock.errors import Refused, Unavailable
from tests.components.required import Missing, without
from tests.components.valkey import owner

PATIENCE = 10.0


@pytest.fixture(autouse=True, scope="module")
def _binary(tmp_path_factory: pytest.TempPathFactory) -> None:
    try:
        with owner(tmp_path_factory.mktemp("probe")):
            pass
    except Missing as missing:
        without("valkey", missing)


@asynccontextmanager
async def client(url: str, tries: int = 0) -> AsyncIterator[Redis]:
    """A client that tries a command `tries` times more, for a server that is coming back."""
    redis = Redis.from_url(url, retry=Retry(ConstantBackoff(0.01), tries))
    try:
        yield redis
    finally:
        await redis.aclose()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not holds():  # noqa: ASYNC110 - what a foreign process does sets no event here
            await asyncio.sleep(0.01)


async def gone(pid: int) -> None:
    """Return once process `pid` has ended; one that nobody reaped yet has ended too."""
    await until(lambda: not _runs(pid))


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def _runs(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


async def test_a_server_answers_from_start_to_stop(tmp_path: Path) -> None:
    async with valkey(tmp_path / "data") as server, client(server.url) as redis:
        assert await redis.ping()
        pid = server.pid
        assert pid is not None
    await gone(pid)
    assert server.pid is None
    with pytest.raises(Unavailable, match="is not running"):
        _ = server.url


async def test_it_syncs_every_write_and_never_evicts(tmp_path: Path) -> None:
    async with valkey(tmp_path / "data") as server, client(server.url) as redis:
        running = await redis.config_get("*")
    wanted = {
        "appendonly": "yes",
        "appendfsync": "always",
        "aof-load-truncated": "yes",
        "save": "",
        "port": "0",
        "maxmemory": str(512 * 1024 * 1024),
        "maxmemory-policy": "noeviction",
    }
    assert {name: running[name] for name in wanted} == wanted


async def test_a_full_server_refuses_writes(tmp_path: Path) -> None:
    async with (
        valkey(tmp_path / "data", Options(maxmemory="2mb")) as server,
        client(server.url) as redis,
    ):
        with pytest.raises(OutOfMemoryError):
            for n in range(100):
                await redis.set(f"key{n}", b"x" * 100_000)
        assert await redis.get("key0") is not None


async def test_everything_in_the_folder_is_private(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o755)
    async with valkey(data) as server, client(server.url) as redis:
        await redis.set("key", "value")
        assert mode(data) == 0o700
        found = list(data.rglob("*"))
        assert {path.name for path in found} >= {"valkey.url", "appendonlydir"}
        assert [path for path in found if mode(path) & 0o077] == []


async def test_data_outlives_a_stop(tmp_path: Path) -> None:
    for before, after in ((None, "1"), (b"1", "2")):
        async with valkey(tmp_path) as server, client(server.url) as redis:
            assert await redis.get("key") == before
            await redis.set("key", after)


async def test_a_second_owner_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    with owner(tmp_path) as first:
        with pytest.raises(Refused, match=f"running process `{first.process.pid}`"):
            await ValkeyServer(tmp_path).start()
        async with client(first.url) as redis:
            assert await redis.ping()


async def test_another_process_attaches(tmp_path: Path) -> None:
    with owner(tmp_path) as first:
        assert await attach(tmp_path) == first.url
    with pytest.raises(Unavailable, match="interlock up"):
        await attach(tmp_path, patience=0)


async def test_a_killed_owner_takes_its_server_along_and_no_write_is_lost(tmp_path: Path) -> None:
    acknowledged = 0
    with owner(tmp_path) as first:
        async with client(first.url) as redis:
            pid = int((await redis.info("server"))["process_id"])
            with pytest.raises((RedisError, OSError)):
                while acknowledged < 100_000:
                    await redis.xadd("stream", {"n": acknowledged})
                    acknowledged += 1
                    if acknowledged == 500:
                        first.process.kill()
    async with valkey(tmp_path) as second, client(second.url) as redis:
        await gone(pid)
        entries = await redis.xrange("stream")
    assert acknowledged >= 500
    written = [int(fields[b"n"]) for _, fields in entries or () if fields]
    assert written[:acknowledged] == list(range(acknowledged))


async def test_an_orphan_is_shut_down_by_the_next_owner(tmp_path: Path) -> None:
    """What a killed owner leaves where no kernel ties its server to it (macOS)."""
    folder = Folder(tmp_path)
    folder.own()
    lock, socket = folder.claim(), folder.place_socket()
    assert lock is not None
    orphan = await launch(
        Launch(
            binary=await find_server(),
            folder=folder,
            socket=socket,
            lock=lock,
            maxmemory="16mb",
            silence=PATIENCE,
        )
    )
    async with client(url_of(socket)) as redis:
        await redis.set("key", "value")
    folder.release()
    async with valkey(tmp_path) as second, client(second.url) as redis:
        assert await redis.get("key") == b"value"
        assert second.pid != orphan.pid
    assert await orphan.wait() == 0


async def test_a_server_that_dies_comes_back_with_its_data(tmp_path: Path) -> None:
    async with valkey(tmp_path) as server, client(server.url, tries=1000) as redis:
        await redis.set("key", "value")
        for _ in range(2):
            died, url = server.pid, server.url
            assert died is not None
            os.kill(died, signal.SIGKILL)
            assert await redis.get("key") == b"value"
            await gone(died)
            await until(lambda: server.pid is not None)
            assert server.url == url


async def test_a_restart_that_fails_is_tried_again(tmp_path: Path) -> None:
    async with valkey(tmp_path) as server, client(server.url, tries=1000) as redis:
        await redis.set("key", "value")
        manifest = tmp_path / "appendonlydir" / "appendonly.aof.manifest"
        kept = manifest.read_bytes()
        manifest.write_bytes(b"nonsense\n")
        died = server.pid
        assert died is not None
        os.kill(died, signal.SIGKILL)
        await until(lambda: b"nonsense" in (tmp_path / "valkey.log").read_bytes())
        manifest.write_bytes(kept)
        assert await redis.get("key") == b"value"


async def test_a_half_written_command_at_the_end_is_cut_off(tmp_path: Path) -> None:
    async with valkey(tmp_path) as server, client(server.url) as redis:
        await redis.set("key", "value")
    (tail,) = (tmp_path / "appendonlydir").glob("*.incr.aof")
    with tail.open("ab") as torn:
        torn.write(b"*3\r\n$3\r\nSET\r\n$3\r\nke")
    async with valkey(tmp_path) as server, client(server.url) as redis:
        assert await redis.get("key") == b"value"


async def test_a_long_path_gets_a_short_private_socket(tmp_path: Path) -> None:
    data = tmp_path / ("long " * 20) / "data"
    async with valkey(data) as server, client(server.url) as redis:
        assert await redis.ping()
        assert await attach(data) == server.url
        socket = Path(server.url.removeprefix("unix://"))
        assert not socket.is_relative_to(data)
        assert [mode(path) for path in (socket.parent, socket)] == [0o700, 0o600]
    assert not socket.parent.exists()


async def test_no_room_for_a_socket_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    with pytest.raises(Refused, match="longer than `103` bytes"):
        await ValkeyServer(long / "data").start()
    monkeypatch.undo()
    async with valkey(long / "data"):
        pass


async def test_the_last_words_of_a_server_that_does_not_start_are_told(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="argument must be a memory value"):
        await ValkeyServer(tmp_path, Options(maxmemory="plenty")).start()
    async with valkey(tmp_path):
        pass


async def test_a_folder_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    taken = tmp_path / "file"
    taken.touch()
    with pytest.raises(Refused, match="cannot be used"):
        await ValkeyServer(taken).start()


async def test_a_cancelled_start_leaves_the_folder_free(tmp_path: Path) -> None:
    starting = asyncio.create_task(ValkeyServer(tmp_path).start())
    await until((tmp_path / "valkey.log").exists)
    starting.cancel()
    await asyncio.wait([starting])
    async with valkey(tmp_path):
        pass
