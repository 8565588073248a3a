"""Where secrets are kept: whole, alone, and for nobody else's eyes."""

import asyncio
import stat
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

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
    assert len(found) == 4, "the folder, its key, the secret and its lock; nothing half written"


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


OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()
PLAIN = '{"tokens":"tell-tale"}'


def lying(folder: Path) -> str:
    """All that is in the folder's secrets."""
    return "".join(file.read_text() for file in folder.glob("*.json"))


async def test_what_is_kept_tells_nothing_without_the_key(tmp_path: Path) -> None:
    await FileSecrets(tmp_path / "kept", [OLD]).write("a", PLAIN)
    assert "tell-tale" not in lying(tmp_path / "kept")
    assert not (tmp_path / "kept" / "key").exists()
    with pytest.raises(Unavailable, match="another key"):
        await FileSecrets(tmp_path / "kept", [NEW]).read("a")
    with pytest.raises(Unavailable, match="another key"):
        await FileSecrets(tmp_path / "kept").read("a")


async def test_a_key_is_changed_by_putting_a_new_one_before_it(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    await FileSecrets(folder, [OLD]).write("a", PLAIN)
    both = FileSecrets(folder, [NEW, OLD])
    assert await both.read("a") == PLAIN
    both.adopt()
    assert await FileSecrets(folder, [NEW]).read("a") == PLAIN


async def test_what_was_kept_plain_is_read_and_sealed_at_the_start(tmp_path: Path) -> None:
    folder, secrets = tmp_path / "kept", FileSecrets(tmp_path / "kept")
    await secrets.write("a", "-")
    (file,) = folder.glob("*.json")
    file.write_text(PLAIN)
    assert await secrets.read("a") == PLAIN
    async with secrets.alone("a"):
        FileSecrets(folder).adopt()  # who changes it seals it
    assert "tell-tale" in lying(folder)
    FileSecrets(folder).adopt()
    assert "tell-tale" not in lying(folder)
    assert await secrets.read("a") == PLAIN
    FileSecrets(folder, [NEW]).adopt()  # it cannot be opened with that, and is left alone
    assert await secrets.read("a") == PLAIN


async def test_what_is_sealed_is_not_taken_for_anothers(tmp_path: Path) -> None:
    secrets = FileSecrets(tmp_path / "kept")
    await secrets.write("a", PLAIN)
    (file,) = (tmp_path / "kept").glob("*.json")
    await secrets.write("b", PLAIN)
    (other,) = {*(tmp_path / "kept").glob("*.json")} - {file}
    other.write_bytes(file.read_bytes())
    with pytest.raises(Unavailable):
        await secrets.read("b")


async def test_replicas_agree_on_the_key_that_one_of_them_makes(tmp_path: Path) -> None:
    many = [FileSecrets(tmp_path / "kept") for _ in range(8)]
    await asyncio.gather(*(one.write(f"{n}", PLAIN) for n, one in enumerate(many)))
    assert [await many[-1].read(f"{n}") for n in range(8)] == [PLAIN] * 8


async def test_a_key_that_is_none_is_named_and_not_told(tmp_path: Path) -> None:
    secrets = FileSecrets(tmp_path / "kept")
    await secrets.write("a", PLAIN)
    (tmp_path / "kept" / "key").write_text("tell-tale")
    with pytest.raises(Unavailable, match="holds no key") as told:
        await FileSecrets(tmp_path / "kept").read("a")
    assert "tell-tale" not in str(told.value)
