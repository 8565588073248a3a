"""A ledger of ten calls, signed half-way and at its end."""

from pathlib import Path

import pytest

from tests.interlock.ledger.ledgers import Ledger, entry, story


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    made = Ledger(tmp_path)
    for minute in range(10):
        made.append(entry(raw, minute=minute) for raw in story(f"task-{minute}"))
        if minute in {4, 9}:
            made.checkpoint(minute)
    return made
