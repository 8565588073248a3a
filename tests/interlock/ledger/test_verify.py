"""Whatever is done to a ledger is found: on an export, with its anchor and without."""

import gzip
from dataclasses import replace
from pathlib import Path

import pytest

from interlock.errors import Refused
from interlock.identity.statements import Trust
from interlock.ledger import Entry, Fault, Record, Report, read_export, verify_export
from tests.interlock.ledger.ledgers import Ledger, entry, key, moment, story

ANCHORED = pytest.mark.parametrize("anchored", [False, True])


def faults(report: Report) -> set[str]:
    return set(report.counts)


def opened(record: Record) -> Entry:
    assert record.entry is not None
    return record.entry


@ANCHORED
def test_a_ledger_that_nobody_touched_holds(ledger: Ledger, anchored: bool) -> None:
    report = ledger.verified(anchored=anchored)
    assert report.ok, report.text()
    assert (report.records, report.ended_tasks, report.open_count) == (40, 10, 0)
    assert report.proven_at == report.as_of == moment(9)
    assert sum(shard.unproven for shard in report.shards) == 0
    assert report.checkpoints == 2
    assert report.anchored is anchored


def test_without_an_anchor_it_says_since_when_the_tail_is_unproven(ledger: Ledger) -> None:
    text = ledger.verified().text()
    assert f"no anchor was given: the tail is unproven since {moment(9).isoformat()}" in text
    assert "no anchor" not in ledger.verified(anchored=True).text()


def test_records_after_the_last_checkpoint_are_counted_as_unproven(ledger: Ledger) -> None:
    ledger.append(entry(raw, minute=10) for raw in story("task-10"))
    report = ledger.verified(anchored=True)
    assert report.ok, report.text()
    assert sum(shard.unproven for shard in report.shards) == 4


@ANCHORED
@pytest.mark.parametrize(
    "change",
    [{"kept": b"0:0:"}, {"event_id": "other"}, {"tenant": "other"}, {"fault": "forged"}],
)
def test_an_edited_record_is_found(
    ledger: Ledger, anchored: bool, change: dict[str, object]
) -> None:
    victim = ledger.records[5]
    forged = opened(victim)._replace(**change)  # type: ignore[arg-type]  # names and values are above
    ledger.records[5] = replace(victim, entry=forged)
    report = ledger.verified(anchored=anchored)
    assert "edited" in faults(report)
    found = next(one for one in report.findings if one.fault is Fault.EDITED)
    assert (found.shard, found.seq) == (victim.shard, victim.seq)


@ANCHORED
def test_an_edited_record_with_a_new_hash_breaks_the_chain(ledger: Ledger, anchored: bool) -> None:
    anew = ledger.records[0]
    copy = Ledger(ledger.folder)
    copy.append([opened(anew)._replace(reason="edited")])
    ledger.records[0] = copy.records[0]
    assert faults(ledger.verified(anchored=anchored)) == {"unchained"}


@ANCHORED
def test_a_removed_record_is_found(ledger: Ledger, anchored: bool) -> None:
    del ledger.records[5]
    assert "missing" in faults(ledger.verified(anchored=anchored))


@ANCHORED
def test_reordered_records_are_found(ledger: Ledger, anchored: bool) -> None:
    one, other = ledger.records[4], ledger.records[5]
    ledger.records[4], ledger.records[5] = other, one
    assert "reordered" in faults(ledger.verified(anchored=anchored))


@ANCHORED
def test_records_that_changed_places_are_found(ledger: Ledger, anchored: bool) -> None:
    one, other = ledger.records[4], ledger.records[5]
    ledger.records[4] = replace(one, entry=other.entry)
    ledger.records[5] = replace(other, entry=one.entry)
    assert ledger.verified(anchored=anchored).counts["edited"] == 2


@ANCHORED
def test_a_chain_made_anew_contradicts_its_checkpoints(ledger: Ledger, anchored: bool) -> None:
    records = ledger.records
    records[0] = replace(records[0], entry=opened(records[0])._replace(reason="edited"))
    ledger.rechain(records)
    assert "rewritten" in faults(ledger.verified(anchored=anchored))


def cut_back(ledger: Ledger) -> None:
    """The owner's best attack: all after the first checkpoint is gone, checkpoints too."""
    kept = [one for one in ledger.records if opened(one).arrived_at <= moment(4).timestamp() * 1e6]
    ledger.rechain(kept)
    ledger.statements = ledger.statements[:1]


def test_a_tail_that_was_cut_with_its_checkpoints_is_found_by_the_anchor(
    ledger: Ledger,
) -> None:
    newest = ledger.statements[-1]
    cut_back(ledger)
    report = verify_export(ledger.export(as_of=newest), ledger.trust, ledger.anchor)
    assert faults(report) == {"cut"}


def test_without_the_anchor_such_a_ledger_only_claims_to_end_earlier(ledger: Ledger) -> None:
    cut_back(ledger)
    report = ledger.verified()
    assert report.ok
    assert report.as_of == moment(4)
    assert f"unproven since {moment(4).isoformat()}" in report.text()


def test_a_tail_that_was_cut_is_found_by_the_checkpoints_beside_it(ledger: Ledger) -> None:
    del ledger.records[-1]
    report = ledger.verified()
    assert "cut" in faults(report)


def test_a_forged_checkpoint_is_found(ledger: Ledger) -> None:
    genuine = ledger.export()
    assert verify_export(genuine, ledger.trust).ok
    ledger.checkpoint(9, key())
    ledger.statements[0], ledger.statements[-1] = ledger.statements[-1], ledger.statements[0]
    assert faults(ledger.verified()) == {"checkpoint"}


def test_a_forged_newest_checkpoint_is_found(ledger: Ledger) -> None:
    ledger.checkpoint(9, key())
    report = ledger.verified()
    assert faults(report) == {"checkpoint"}
    assert report.as_of is None


def test_checkpoints_that_contradict_each_other_are_found(ledger: Ledger) -> None:
    genuine = list(ledger.records)
    ledger.rechain([replace(one, entry=opened(one)._replace(reason="x")) for one in genuine])
    ledger.checkpoint(8)
    ledger.records = genuine
    ledger.statements.reverse()
    report = verify_export(ledger.export(ledger.statements[1]), ledger.trust)
    assert "checkpoint" in faults(report)


def test_with_the_wrong_key_nothing_is_proven(ledger: Ledger) -> None:
    report = verify_export(ledger.export(), Trust.of(key()))
    assert faults(report) == {"checkpoint"}
    assert report.proven_at is None
    assert sum(shard.unproven for shard in report.shards) == 40


def test_later_checkpoints_of_the_anchor_say_nothing_of_an_earlier_export(
    ledger: Ledger,
) -> None:
    export = ledger.export()
    ledger.append(entry(raw, minute=20) for raw in story("task-20"))
    ledger.checkpoint(20)
    report = verify_export(export, ledger.trust, ledger.anchor)
    assert report.ok, report.text()


@ANCHORED
def test_an_event_that_is_there_twice_is_found(ledger: Ledger, anchored: bool) -> None:
    ledger.append([opened(ledger.records[3])._replace(arrived_at=1)])
    assert "duplicate" in faults(ledger.verified(anchored=anchored))


def test_an_export_that_breaks_off_is_told_from_a_cut_ledger(ledger: Ledger) -> None:
    path = ledger.export()
    path.write_bytes(path.read_bytes()[:-12])
    assert "incomplete" in faults(verify_export(path, ledger.trust))


def test_records_of_others_are_checked_by_their_place_in_the_chain(ledger: Ledger) -> None:
    ledger.records = [
        replace(one, entry=None) if opened(one).subject != "task-3" else one
        for one in ledger.records
    ]
    report = ledger.verified(anchored=True)
    assert report.ok, report.text()
    assert report.hidden == 36
    assert report.ended_tasks == 1
    del ledger.records[7]
    assert "missing" in faults(ledger.verified())


def test_an_export_is_read_as_it_was_written(ledger: Ledger) -> None:
    ledger.records[0] = replace(ledger.records[0], entry=None)
    _, *lines = read_export(ledger.export())
    assert [line for line in lines if isinstance(line, Record)] == ledger.records


@pytest.mark.parametrize(
    "content",
    [
        b"not gzip",
        gzip.compress(b"no json", mtime=0),
        gzip.compress(b"[]\n", mtime=0),
        gzip.compress(b"{}\n", mtime=0),
        gzip.compress(b'{"records": 0}\n', mtime=0),
        gzip.compress(b'{"record": [0, 1, "zz", ""]}\n', mtime=0),
        gzip.compress(b'{"record": [0, 1e400, "", ""]}\n', mtime=0),
        gzip.compress(b"", mtime=0),
    ],
)
def test_a_file_that_is_no_export_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "export.gz"
    path.write_bytes(content)
    with pytest.raises(Refused):
        verify_export(path, Trust.of(key()))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="there is no file"):
        verify_export(tmp_path / "none.gz", Trust.of(key()))


def test_a_report_is_data_too(ledger: Ledger) -> None:
    del ledger.records[5]
    data = ledger.verified().as_data()
    assert data["ok"] is False
    assert data["faults"]["missing"] == 1
    assert data["findings"][0]["fault"] == "missing"
