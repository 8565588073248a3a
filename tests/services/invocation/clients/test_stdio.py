"""Upstreams that are processes of ours: shared, restarted, never left behind."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from interlock.contracts.catalogue import StdioConnection
from interlock.errors import Refused
from services.invocation.clients import (
    Connection,
    Reach,
    StdioCommand,
    UpstreamCall,
    UpstreamError,
    Upstreams,
)
from services.invocation.clients.pool import Deaths
from services.invocation.clients.text import LARGEST
from tests.services.invocation.clients.talking import until

PLAYING = str(Path(__file__).with_name("playing.py"))


def to(command: str) -> Connection:
    return Connection("acme", command, StdioConnection(command=command))


@pytest.fixture
async def upstreams(tmp_path: Path) -> AsyncIterator[Upstreams]:
    own = {"OWN": "mine"}
    upstreams = Upstreams(
        [
            StdioCommand("playing", sys.executable, (PLAYING,), own, str(tmp_path)),
            StdioCommand("time", sys.executable, ("-m", "mcp_server_time")),
            StdioCommand("stillborn", sys.executable, ("-c", "raise SystemExit('no luck')")),
            StdioCommand("missing", "no-such-program-anywhere"),
        ]
    )
    yield upstreams
    await upstreams.close()


async def ask(upstreams: Upstreams, tool: str, *, seconds: float = 20, **arguments: object) -> Any:
    call = UpstreamCall(to("playing"), tool, json.dumps(arguments), seconds)
    answer = await upstreams.call(call)
    return json.loads(json.loads(answer.result)["content"][0]["text"])


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def test_a_real_server_is_inspected_and_called(upstreams: Upstreams) -> None:
    found = await upstreams.inspect(to("time"))
    assert found.server_name == "mcp-time"
    assert {json.loads(tool)["name"] for tool in found.tools} == {
        "get_current_time",
        "convert_time",
    }
    call = UpstreamCall(to("time"), "get_current_time", '{"timezone":"UTC"}', 20)
    answer = await upstreams.call(call)
    assert not answer.is_error
    assert '"timezone":"UTC"' in answer.result


async def test_a_server_of_the_handshake_era_is_greeted_as_it_wants(upstreams: Upstreams) -> None:
    found = await upstreams.inspect(to("playing"))
    assert (found.protocol_version, found.server_name, found.server_version) == (
        "2025-11-25",
        "playing",
        "7",
    )
    assert len(found.tools) == 10


async def test_a_server_that_starts_slowly_is_greeted_in_its_own_era_all_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It reads the first greeting when nobody waits for its answer any more; and is not closed for
    lack of use, though nobody may call it yet."""
    monkeypatch.setattr("mcp.client.session.DISCOVER_TIMEOUT_SECONDS", 1.0)
    monkeypatch.setattr("services.invocation.clients.pool.LEFT_SECONDS", 0.2)
    script = "sleep 2; exec {} -m tests.components.asker --stdio --log {}"
    late = script.format(sys.executable, tmp_path / "log")
    upstreams = Upstreams([StdioCommand("late", "/bin/sh", ("-c", late), {}, str(Path.cwd()))])
    inspecting = asyncio.ensure_future(upstreams.inspect(to("late"), 60))
    while not inspecting.done():
        upstreams.only(())
        await asyncio.wait({inspecting}, timeout=0.05)
    await upstreams.close()
    assert inspecting.result().protocol_version == "2026-07-28"


async def test_calls_share_one_process_and_do_not_wait_for_each_other(
    upstreams: Upstreams,
) -> None:
    answers = await asyncio.gather(*(ask(upstreams, "meet", of=20) for _ in range(20)))
    assert len({answer["pid"] for answer in answers}) == 1


async def test_a_process_that_dies_in_a_call_means_lost_and_its_last_words_are_told(
    upstreams: Upstreams,
) -> None:
    with pytest.raises(UpstreamError) as raised:
        await ask(upstreams, "crash")
    assert raised.value.reach is Reach.LOST
    assert raised.value.detail.endswith("ended with code `3`; its last words: `out of cheese`")


async def test_calls_under_way_beside_a_crash_are_lost_too(upstreams: Upstreams) -> None:
    await ask(upstreams, "environ")
    calls = [ask(upstreams, "hang"), ask(upstreams, "hang"), ask(upstreams, "crash")]
    ended = await asyncio.gather(*calls, return_exceptions=True)
    assert [getattr(error, "reach", error) for error in ended] == [Reach.LOST] * 3


async def test_a_crashed_process_rests_and_is_then_started_again(upstreams: Upstreams) -> None:
    with pytest.raises(UpstreamError):
        await ask(upstreams, "crash")
    with pytest.raises(UpstreamError) as resting:
        await ask(upstreams, "environ")
    assert resting.value.reach is Reach.NOT_SENT
    assert 0 < (resting.value.retry_after or 0) <= 0.1
    rested = asyncio.Event()
    asyncio.get_running_loop().call_later(resting.value.retry_after or 0, rested.set)
    await rested.wait()
    assert (await ask(upstreams, "environ"))["own"] == "mine"


def test_a_process_that_keeps_dying_rests_longer_each_time_up_to_a_limit() -> None:
    deaths = Deaths()
    rests = []
    for _ in range(12):
        deaths.note(lived=1, at=100)
        rests.append(round(deaths.rests_until - 100, 1))
    assert rests[:4] == [0.1, 0.2, 0.4, 0.8]
    assert rests[-1] == 10
    deaths.note(lived=60, at=100)
    assert deaths.rests_until == pytest.approx(100.1)


async def test_a_process_that_never_answers_a_handshake_was_sent_nothing(
    upstreams: Upstreams,
) -> None:
    with pytest.raises(UpstreamError, match="no luck") as raised:
        await upstreams.call(UpstreamCall(to("stillborn"), "x", "{}", 20))
    assert raised.value.reach is Reach.NOT_SENT


async def test_a_command_that_no_operator_named_is_refused_and_the_known_are_listed(
    upstreams: Upstreams,
) -> None:
    with pytest.raises(Refused, match="`missing`, `playing`, `stillborn`, `time`") as refused:
        await upstreams.call(UpstreamCall(to("rm"), "x", "{}", 20))
    assert refused.value.code == "unknown_command"


async def test_a_program_that_does_not_exist_is_refused(upstreams: Upstreams) -> None:
    with pytest.raises(Refused, match="`no-such-program-anywhere`"):
        await upstreams.call(UpstreamCall(to("missing"), "x", "{}", 20))


async def test_an_error_of_the_server_is_not_taken_for_a_closed_connection(
    upstreams: Upstreams,
) -> None:
    with pytest.raises(UpstreamError) as raised:
        await ask(upstreams, "refuse")
    assert raised.value.reach is Reach.ANSWERED
    assert raised.value.error == '{"code":-32000,"message":"not today","data":1}'
    await ask(upstreams, "environ")


async def test_a_process_sees_of_our_environment_only_what_it_needs(
    upstreams: Upstreams, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("INTERLOCK_SECRET", "hush")
    told = await ask(upstreams, "environ")
    assert "PATH" in told["names"]
    assert not [name for name in told["names"] if name.startswith("INTERLOCK")]
    assert (told["own"], told["cwd"]) == ("mine", str(tmp_path))


async def test_closing_leaves_neither_the_process_nor_its_children(upstreams: Upstreams) -> None:
    pids = await ask(upstreams, "spawn")
    assert lives(pids["pid"])
    assert lives(pids["own"])
    async with asyncio.timeout(10):
        await upstreams.close()
    assert not lives(pids["own"])
    await until(lambda: not lives(pids["pid"]))  # killed; the kernel takes its time


async def test_a_call_that_is_too_slow_is_cancelled_and_the_process_stays(
    upstreams: Upstreams,
) -> None:
    first = await ask(upstreams, "meet", of=1)
    with pytest.raises(UpstreamError) as raised:
        await ask(upstreams, "hang", seconds=0.2)
    assert raised.value.reach is Reach.LOST
    assert len((await ask(upstreams, "cancelled"))["ids"]) == 1
    assert await ask(upstreams, "meet", of=1) == first


async def test_a_cancelled_call_is_cancelled_at_the_server(upstreams: Upstreams) -> None:
    await ask(upstreams, "environ")
    call = asyncio.create_task(ask(upstreams, "hang"))
    await ask(upstreams, "meet", of=1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert len((await ask(upstreams, "cancelled"))["ids"]) == 1


async def test_an_answer_that_is_too_large_means_lost(upstreams: Upstreams) -> None:
    with pytest.raises(UpstreamError) as raised:
        await ask(upstreams, "flood", size=LARGEST)
    assert raised.value.reach is Reach.LOST
