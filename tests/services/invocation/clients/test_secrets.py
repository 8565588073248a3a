"""Where secrets are kept: whole, alone, and for nobody else's eyes."""

import asyncio
import stat
from pathlib import Path

import pytest

from interlock.errors import Unavailable
from services.invocation.clients import FileSecrets, MemorySecrets, Secrets


@pytest.fixture(params=["memory", "file"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Secrets, Secrets]:
    """The store as two replicas see it."""
    if request.param == "memory":
        secrets = MemorySecrets()
        return secrets, secrets
    return FileSecrets(tmp_path / "kept"), FileSecrets(tmp_path / "kept")


async def test_what_one_writes_the_other_reads_until_it_is_forgotten(
    pair: tuple[Secrets, Secrets],
) -> None:
    one, other = pair
    assert await other.read("acme\ncrm") is None
    await one.write("acme\ncrm", "first")
    await one.write("acme\ncrm", "second")
    await one.write("acme\nerp", "another")
    assert await other.read("acme\ncrm") == "second"
    await other.forget("acme\ncrm")
    await other.forget("acme\ncrm")
    assert (await one.read("acme\ncrm"), await one.read("acme\nerp")) == (None, "another")


async def test_a_secret_is_changed_by_one_at_a_time(pair: tuple[Secrets, Secrets]) -> None:
    inside = 0

    async def add(secrets: Secrets) -> None:
        nonlocal inside
        async with secrets.alone("count"):
            inside += 1
            assert inside == 1
            count = int(await secrets.read("count") or 0)
            await asyncio.sleep(0)
            await secrets.write("count", str(count + 1))
            inside -= 1

    await asyncio.gather(*(add(secrets) for secrets in pair for _ in range(10)))
    assert await pair[0].read("count") == "20"


async def test_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    secrets = FileSecrets(tmp_path / "kept")
    async with secrets.alone("a"):
        await secrets.write("a", "text")
    found = [tmp_path / "kept", *(tmp_path / "kept").iterdir()]
    assert {stat.S_IMODE(one.stat().st_mode) & 0o077 for one in found} == {0}
    assert len(found) == 3, "the folder, the secret and its lock; nothing half written"


@pytest.mark.parametrize("which", ["file", "folder"])
async def test_what_others_may_read_is_not_believed(tmp_path: Path, which: str) -> None:
    folder = tmp_path / "kept"
    secrets = FileSecrets(folder)
    await secrets.write("a", "text")
    if which == "folder":
        folder.chmod(0o755)
        with pytest.raises(Unavailable, match="chmod"):
            await secrets.write("a", "more")
        return
    for file in folder.iterdir():
        file.chmod(0o640)
    with pytest.raises(Unavailable, match="chmod"):
        await secrets.read("a")


async def test_a_store_that_cannot_be_used_says_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("no folder")
    with pytest.raises(Unavailable, match="kept"):
        await FileSecrets(tmp_path / "kept").write("a", "text")
