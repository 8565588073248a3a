"""What a member holds: how far it is settled, and whom it suspects."""

from typing import Any

from aiokafka import TopicPartition
from aiokafka.structs import ConsumerRecord, OffsetAndMetadata

from interlock.bus.kafka.hand import HELD, UNHELD, Hand, accused, mark_of, marked, suspicious
from interlock.bus.outcome import Delivery
from interlock.testing.build import authenticated, raw

A, B = TopicPartition("t", 0), TopicPartition("t", 1)


def delivery(partition: int, offset: int, **given: Any) -> Delivery:
    record = ConsumerRecord("t", partition, offset, 0, 0, None, b"", None, 0, 0, ())
    return Delivery(raw(authenticated()), record, **given)


def test_offsets_stop_at_the_first_that_is_not_settled() -> None:
    read = [delivery(0, 3), delivery(0, 4), delivery(0, 5), delivery(1, 7)]
    hand = Hand.of(read)
    assert hand.offsets() == {A: 3, B: 7}
    hand.settle([read[0], read[2], read[3]])
    assert hand.offsets() == {A: 4, B: 8}
    hand.settle([read[1]])
    assert (hand.offsets(), hand.left) == ({A: 6, B: 8}, [])


def test_only_partitions_left_without_a_word_are_suspicious_and_only_where_something_lay() -> None:
    c, d = TopicPartition("t", 2), TopicPartition("t", 3)
    found = {
        A: OffsetAndMetadata(10, marked(HELD)),
        B: OffsetAndMetadata(10, marked(UNHELD)),
        c: OffsetAndMetadata(10, marked(HELD)),
        d: OffsetAndMetadata(-1, ""),
    }
    suspects = suspicious(found, {A: 300, B: 300, c: 10, d: 5}, reach=128)
    assert [(spot, one.first, one.until) for spot, one in suspects.items()] == [(A, 10, 138)]
    assert suspicious({A: OffsetAndMetadata(10, "2")}, {A: 11}, reach=128)[A].until == 11


def test_the_words_of_others_are_no_mark() -> None:
    assert [mark_of(text) for text in ("", "x", "-1", "²", "9" * 30, "4")] == [0, 0, 0, 0, 0, 4]


def test_deaths_count_for_the_one_that_was_alone_and_condemn_nobody_else() -> None:
    suspects = suspicious({A: OffsetAndMetadata(10, "3")}, {A: 99}, reach=5)[A]
    assert accused(delivery(0, 10), suspects, 3).attempts == 3
    near = accused(delivery(0, 11), suspects, 3)
    assert (near.attempts, near.killed) == (1, True)
    failed_before = accused(delivery(0, 11, attempts=2), suspects, 3)
    assert (failed_before.attempts, failed_before.killed) == (2, False)
