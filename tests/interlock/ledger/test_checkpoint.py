"""Checkpoints are believed for their signature, and stay where they were put."""

import resource
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from interlock.errors import Forged, Unavailable
from interlock.identity.statements import Signer, Trust
from interlock.ledger import (
    SIGNER,
    Checkpoint,
    FolderAnchor,
    Head,
    Origin,
    moved,
    read_checkpoint,
    sign_checkpoint,
)
from interlock.testing.build import NOON
from tests.interlock.ledger.ledgers import key

ORIGIN = Origin("ledger-1", 2)
HEADS = (Head(0, 3, b"a" * 32), Head(1, 0, ORIGIN.genesis(1)))
CHECKPOINT = Checkpoint(ORIGIN, NOON, HEADS)


def test_a_checkpoint_is_read_as_it_was_signed() -> None:
    signer = key()
    statement = sign_checkpoint(signer, CHECKPOINT)
    assert read_checkpoint(Trust.of(signer), statement, ORIGIN) == CHECKPOINT


def test_another_key_does_not_pass() -> None:
    with pytest.raises(Forged):
        read_checkpoint(Trust.of(key()), sign_checkpoint(key(), CHECKPOINT), ORIGIN)


def test_another_services_key_does_not_pass() -> None:
    signer = Signer.of("audit", key().key)
    with pytest.raises(Forged):
        read_checkpoint(Trust.of(signer), sign_checkpoint(signer, CHECKPOINT), ORIGIN)


def test_another_statement_of_the_same_key_does_not_pass() -> None:
    signer = key()
    with pytest.raises(Forged):
        read_checkpoint(Trust.of(signer), signer.sign("other", {"ledger": "ledger-1"}), ORIGIN)


@pytest.mark.parametrize("other", [Origin("ledger-2", 2), Origin("ledger-1", 3)])
def test_another_ledgers_checkpoint_does_not_pass(other: Origin) -> None:
    signer = key()
    with pytest.raises(Forged, match="another ledger"):
        read_checkpoint(Trust.of(signer), sign_checkpoint(signer, CHECKPOINT), other)


def test_a_checkpoint_without_all_shards_does_not_pass() -> None:
    signer = key()
    statement = sign_checkpoint(signer, replace(CHECKPOINT, heads=HEADS[:1]))
    with pytest.raises(Forged, match="lacks a claim"):
        read_checkpoint(Trust.of(signer), statement, ORIGIN)


def test_the_anchor_gives_back_what_it_was_given_in_order(tmp_path: Path) -> None:
    anchor = FolderAnchor(tmp_path / "anchor")
    days = [replace(CHECKPOINT, time=NOON + timedelta(days=day)) for day in range(3)]
    for number, checkpoint in enumerate(days):
        anchor.append(checkpoint, f"statement-{number}")
    again = FolderAnchor(tmp_path / "anchor")
    assert list(again.statements(ORIGIN)) == ["statement-0", "statement-1", "statement-2"]
    assert list(again.statements(Origin("ledger-2", 2))) == []


def test_many_may_append_to_the_anchor_at_once(tmp_path: Path) -> None:
    anchors = [FolderAnchor(tmp_path), FolderAnchor(tmp_path)]
    with ThreadPoolExecutor(4) as pool:
        for number in range(100):
            pool.submit(anchors[number % 2].append, CHECKPOINT, f"{number}-" + "x" * 500)
    kept = list(anchors[0].statements(ORIGIN))
    assert sorted(kept) == sorted(f"{number}-" + "x" * 500 for number in range(100))


def test_a_line_that_is_still_being_written_is_left_out(tmp_path: Path) -> None:
    anchor = FolderAnchor(tmp_path)
    anchor.append(CHECKPOINT, "whole")
    (path,) = tmp_path.iterdir()
    with path.open("a") as file:
        file.write('"ha')
    assert list(anchor.statements(ORIGIN)) == ["whole"]


def test_a_full_disk_is_told_and_what_it_tore_spoils_no_later_statement(tmp_path: Path) -> None:
    anchor, path = FolderAnchor(tmp_path), tmp_path / "ledger-1.2026-01-02.jsonl"
    checkpoint = replace(CHECKPOINT, time=datetime(2026, 1, 2, tzinfo=UTC))
    anchor.append(checkpoint, "first")
    with (
        room_for(path.stat().st_size + 5),
        pytest.raises(Unavailable, match="space"),
    ):
        anchor.append(checkpoint, "second")
    assert path.read_text() == '"first"\n"seco'
    anchor.append(checkpoint, "second")
    assert [*anchor.statements(ORIGIN)] == ["first", "second"]


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """No file of this process may grow beyond that."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_an_anchor_that_cannot_be_written_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="cannot be written"):
        FolderAnchor(tmp_path / "file").append(CHECKPOINT, "statement")


def test_heads_that_grew_have_moved() -> None:
    assert moved(HEADS, ())
    assert not moved(HEADS, HEADS)
    assert moved((Head(0, 4, b"b" * 32), HEADS[1]), HEADS)


@pytest.mark.parametrize("head", [Head(0, 2, b"b" * 32), Head(0, 3, b"b" * 32)])
def test_heads_that_contradict_a_signature_are_not_signed(head: Head) -> None:
    with pytest.raises(Forged, match="cut or changed"):
        moved((head, HEADS[1]), HEADS)


def test_the_signers_name_is_that_of_its_key_file() -> None:
    assert key().service == SIGNER == "ledger"
