"""Stores of bodies, each with the same promises."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aioboto3  # type: ignore[import-untyped]  # it has no types
import pytest

from interlock.bus.claims import Claims, open_claims
from interlock.bus.claims.store import named
from interlock.errors import Refused, Unavailable, Unreadable
from interlock.testing.build import authenticated, raw
from tests.components.ports import lasting_port
from tests.interlock.bus.harness import open_sqs

BODY = b"\x00\xff" * 1000


@pytest.fixture(params=["folder", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "folder":
        return str(tmp_path / "bodies")
    bucket: str = request.getfixturevalue("s3_bucket")
    return f"s3://{bucket}/some/prefix"


@pytest.fixture
async def claims(url: str) -> AsyncIterator[Claims]:
    opened = open_claims(url)
    yield opened
    await opened.close()


async def overwrite(url: str, name: str, body: bytes) -> None:
    """As somebody who may write there."""
    if not url.startswith("s3://"):
        (Path(url) / name[:2] / name).write_bytes(body)
        return
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    async with aioboto3.Session().client("s3") as client:
        await client.put_object(Bucket=bucket, Key=f"{prefix}/{name}", Body=body)


async def test_a_body_comes_back_by_its_digest(claims: Claims) -> None:
    name = await claims.put(BODY)
    assert (name, await claims.get(name)) == (named(BODY), BODY)
    assert await claims.put(BODY) == name, "twice is once"


async def test_what_is_not_there_is_told(claims: Claims) -> None:
    with pytest.raises(Unreadable, match="is not in"):
        await claims.get(named(b"nobody"))


async def test_what_was_changed_is_not_believed(claims: Claims, url: str) -> None:
    name = await claims.put(BODY)
    await overwrite(url, name, BODY[:-1])
    with pytest.raises(Unreadable, match="was changed"):
        await claims.get(name)


async def test_a_folder_is_not_left_by_a_name(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"")
    claims = open_claims(str(tmp_path / "bodies"))
    for name in ("../secret", "/etc/passwd", "a" * 63):
        with pytest.raises(Unreadable):
            await claims.get(name)


def test_a_store_without_a_bucket_is_refused() -> None:
    with pytest.raises(Refused, match="names no bucket"):
        open_claims("s3:///prefix")


async def test_a_store_that_is_away_is_unavailable(
    s3_bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    nowhere = open_claims("s3://no-such-bucket")
    with pytest.raises(Unavailable, match="NoSuchBucket"):
        await nowhere.put(BODY)
    await nowhere.close()
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{lasting_port()}")
    away = open_claims(f"s3://{s3_bucket}")
    with pytest.raises(Unavailable, match="does not serve"):
        await away.get(named(BODY))
    await away.close()
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match="cannot be kept"):
        await open_claims(str(tmp_path / "file")).put(BODY)


async def test_a_bus_keeps_large_bodies_in_s3(sqs_url: str, s3_bucket: str) -> None:
    sent = raw(authenticated(arguments='{"text":"' + "x" * 30_000 + '"}'))
    async with open_sqs(f"{sqs_url}&limit=20000&bodies=s3://{s3_bucket}/bodies") as bus:
        await bus.publish([sent])
        async with aioboto3.Session().client("s3") as client:
            listed: Any = await client.list_objects_v2(Bucket=s3_bucket)
    assert [one["Key"] for one in listed["Contents"]] == [f"bodies/{named(sent.body)}"]
