"""Key files: made once, for their owner only, and every mistake is named with its fix."""

import asyncio
import stat
from pathlib import Path

import orjson
import pytest
from joserfc.jwk import OKPKey

from interlock.errors import Forged, Refused
from interlock.identity.keys import (
    deal_keys,
    load_keyring,
    load_signer,
    load_trust,
    write_secret,
)
from interlock.identity.statements import GRANT


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "keys"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_keys_are_made_once_and_found_again(folder: Path) -> None:
    ring = load_keyring(folder, create=True)
    trust = load_trust(folder, create=("policy", "gateway"))
    assert load_keyring(folder, create=False).proves(b"x", ring.sign(b"x"))
    assert load_trust(folder).keys.keys() == trust.keys.keys()
    statement = load_signer(folder, "policy", create=False).sign(GRANT, {"a": 1})
    assert trust.verify(GRANT, statement, ("policy",)) == {"a": 1}


def test_private_keys_are_their_owner_s_alone(folder: Path) -> None:
    load_keyring(folder, create=True)
    load_trust(folder, create=("policy",))
    assert mode(folder) == 0o700
    assert {path.name: mode(path) for path in folder.iterdir()} == {
        "suite.key": 0o600,
        "policy.key.json": 0o600,
        "policy.pub.json": 0o644,
    }


def test_a_public_key_file_holds_nothing_private(folder: Path) -> None:
    load_trust(folder, create=("policy",))
    assert "d" not in orjson.loads((folder / "policy.pub.json").read_bytes())


async def test_processes_that_start_at_once_agree_on_the_keys(folder: Path) -> None:
    rings = await asyncio.gather(
        *(asyncio.to_thread(load_keyring, folder, create=True) for _ in range(8))
    )
    assert len({ring.sign(b"x") for ring in rings}) == 1


@pytest.mark.parametrize("name", ["suite.key", "policy.key.json"])
def test_a_key_that_others_can_read_is_refused_with_the_fix(folder: Path, name: str) -> None:
    load_keyring(folder, create=True)
    load_signer(folder, "policy", create=True)
    (folder / name).chmod(0o640)
    with pytest.raises(Refused, match=f"chmod 600 .*{name}"):
        load_keyring(folder, create=False)
        load_signer(folder, "policy", create=False)


def test_a_missing_key_is_not_made_where_nobody_asked_for_it(folder: Path) -> None:
    with pytest.raises(Refused, match=r"suite\.key` is missing"):
        load_keyring(folder, create=False)
    with pytest.raises(Refused, match=r"policy\.key\.json` is missing"):
        load_signer(folder, "policy", create=False)


@pytest.mark.parametrize("text", ["", "k1", "k1 zz", "k1 abcd", " abcd", f"a:b {'00' * 32}"])
def test_a_suite_key_file_that_is_none_is_refused(folder: Path, text: str) -> None:
    folder.mkdir()
    write_secret(folder / "suite.key", text.encode())
    with pytest.raises(Refused, match=r"<key id> <64 hex digits>"):
        load_keyring(folder, create=False)


def test_the_first_suite_key_signs_and_all_are_accepted(folder: Path) -> None:
    folder.mkdir()
    write_secret(folder / "suite.key", f"k1 {'01' * 32}\n".encode())
    old = load_keyring(folder, create=False)
    write_secret(folder / "suite.key", f"k2 {'02' * 32}\nk1 {'01' * 32}\n".encode())
    new = load_keyring(folder, create=False)
    assert new.sign(b"x").startswith("k2:")
    assert new.proves(b"x", old.sign(b"x"))


@pytest.mark.parametrize("text", [b"", b"{}", b"\xff", b'{"kty":"oct","k":"AAAA"}'])
def test_a_key_file_that_is_none_is_refused(folder: Path, text: bytes) -> None:
    folder.mkdir()
    write_secret(folder / "policy.key.json", text)
    with pytest.raises(Refused, match="no private Ed25519 key"):
        load_signer(folder, "policy", create=False)
    (folder / "policy.pub.json").write_bytes(text)
    with pytest.raises(Refused, match="no public Ed25519 key"):
        load_trust(folder)


def test_a_private_key_where_a_public_one_belongs_is_refused(folder: Path) -> None:
    folder.mkdir()
    private = OKPKey.generate_key("Ed25519").as_dict(private=True)
    (folder / "policy.pub.json").write_bytes(orjson.dumps(private))
    with pytest.raises(Refused, match="no public Ed25519 key"):
        load_trust(folder)


def test_an_old_public_key_counts_while_its_file_is_there(folder: Path) -> None:
    statement = load_signer(folder, "policy", create=True).sign(GRANT, {})
    (folder / "policy.pub.json").rename(folder / "policy.old.pub.json")
    (folder / "policy.key.json").unlink()
    load_trust(folder, create=("policy",)).verify(GRANT, statement, ("policy",))
    (folder / "policy.old.pub.json").unlink()
    with pytest.raises(Forged):
        load_trust(folder).verify(GRANT, statement, ("policy",))


def test_each_service_is_dealt_its_own_private_key_and_everybody_s_public_ones(
    tmp_path: Path,
) -> None:
    services = {"policy": ("policy",), "audit": ("audit", "ledger")}
    deal_keys(tmp_path, services)
    dealt = {name: {path.name for path in (tmp_path / name).iterdir()} for name in services}
    public = {"policy.pub.json", "audit.pub.json", "ledger.pub.json", "suite.key"}
    assert dealt == {
        "policy": public | {"policy.key.json"},
        "audit": public | {"audit.key.json", "ledger.key.json"},
    }
    assert {path.name: mode(path) for path in (tmp_path / "audit").iterdir()} == {
        "suite.key": 0o600,
        "audit.key.json": 0o600,
        "ledger.key.json": 0o600,
        **dict.fromkeys(public - {"suite.key"}, 0o644),
    }
    statement = load_signer(tmp_path / "policy", "policy", create=False).sign(GRANT, {"a": 1})
    assert load_trust(tmp_path / "audit").verify(GRANT, statement, ("policy",)) == {"a": 1}
    with pytest.raises(Refused, match=r"`.*policy\.key\.json` is missing"):
        load_signer(tmp_path / "audit", "policy", create=False)


def test_a_service_that_is_dealt_in_later_changes_nobody_else_s_keys(tmp_path: Path) -> None:
    deal_keys(tmp_path, {"policy": ("policy",)})
    before = {path: path.read_bytes() for path in (tmp_path / "policy").iterdir()}
    deal_keys(tmp_path, {"auth": ("auth",), "policy": ("policy",)})
    assert {path: path.read_bytes() for path in before} == before
    assert (tmp_path / "policy" / "auth.pub.json").exists()
    suite = load_keyring(tmp_path / "auth", create=False)
    assert suite.proves(b"x", load_keyring(tmp_path / "policy", create=False).sign(b"x"))
