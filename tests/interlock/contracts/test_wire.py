"""What was once readable stays readable. Samples are added, never edited."""

import hmac
import json
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from interlock.bus import Envelope, Raw, Stamp
from interlock.bus.known import LEAST
from interlock.bus.wire import (
    MAC,
    Keyring,
    UnknownType,
    believe,
    canonical,
    letter_id,
    opened,
    read,
)
from interlock.contracts.registry import MESSAGES
from interlock.contracts.task import Client
from interlock.contracts.topics import Topic
from interlock.errors import Forged, Unreadable
from interlock.testing.build import KEYRING, authenticated, denied, noon, raw, submitted

SAMPLES = sorted((Path(__file__).parent / "samples").glob("*.json"))


def sample(path: Path) -> Raw:
    stored = json.loads(path.read_text())
    message = MESSAGES[stored["attributes"]["ce_type"]]
    return Raw(message.topic, stored["attributes"], json.dumps(stored["body"]).encode())


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_every_sample_is_still_readable(path: Path) -> None:
    event = read(sample(path))
    assert event.body.type == path.stem
    assert event.body.subject == event.raw.attributes["ce_subject"]


def test_every_message_has_a_sample() -> None:
    assert {path.stem for path in SAMPLES} == set(MESSAGES)


def test_what_is_stamped_is_believed_and_reads_as_it_was() -> None:
    event = read(raw(authenticated(), cause="cause"))
    believe(event.raw, KEYRING)
    assert (event.body, event.cause) == (authenticated(), "cause")


def test_unknown_fields_are_ignored() -> None:
    sent = raw(denied())
    newer = sent.body[:-1] + b',"added_by_a_newer_writer":true}'
    assert read(Raw(sent.topic, sent.attributes, newer)).body == denied()


@pytest.mark.parametrize("name", ["ce_id", "ce_source", "ce_type", "ce_subject", "ce_tenant"])
def test_a_changed_attribute_is_forged(name: str) -> None:
    sent = raw(denied())
    with pytest.raises(Forged):
        believe(Raw(sent.topic, {**sent.attributes, name: "x"}, sent.body), KEYRING)


def test_a_changed_body_another_topic_or_an_added_attribute_is_forged() -> None:
    sent = raw(denied())
    for other in (
        Raw(sent.topic, sent.attributes, sent.body + b" "),
        Raw(Topic.TASK_CONTROL, sent.attributes, sent.body),
        Raw(sent.topic, {**sent.attributes, "ce_cause": "x"}, sent.body),
        Raw(sent.topic, {k: v for k, v in sent.attributes.items() if k != MAC}, sent.body),
    ):
        with pytest.raises(Forged):
            believe(other, KEYRING)


def test_the_code_is_what_anybodys_hmac_says() -> None:
    key, data = b"k" * 32, b"some bytes"
    said = hmac.new(key, data, "sha256").hexdigest()
    assert Keyring({"a": key}).sign(data) == f"a:{said}"


def test_a_client_is_told_of_where_there_is_one_and_taken_for_none_where_not() -> None:
    asked = authenticated()
    told = asked.model_copy(update={"client": Client(capabilities='{"sampling":{}}')})
    assert (b"client" in raw(asked).body, b"client" in raw(told).body) == (False, True)
    assert (read(raw(asked)).body, read(raw(told)).body) == (asked, told)


def test_a_key_that_was_rotated_out_of_signing_is_still_believed() -> None:
    believe(raw(denied()), Keyring({"new": b"n" * 32, **KEYRING.keys}))
    with pytest.raises(Forged):
        believe(raw(denied()), Keyring({"new": b"n" * 32}))


def test_what_is_stated_here_is_known_as_it_reads() -> None:
    keyring = Keyring(KEYRING.keys)
    sent = Stamp("policy", keyring, noon).from_journal(denied(), (0, 0), "cause")
    known = keyring.known.find(sent.attributes[MAC], sent)
    assert known == read(sent)
    (found,) = opened([Raw(sent.topic, {**sent.attributes}, bytes(sent.body))], keyring)
    assert found is known


def test_what_differs_from_what_is_known_in_anything_is_proven_anew() -> None:
    keyring = Keyring(KEYRING.keys)
    sent = Stamp("policy", keyring, noon).from_journal(denied(), (0, 0), "cause")
    for other in (
        Raw(sent.topic, sent.attributes, sent.body + b" "),
        Raw(Topic.TASK_CONTROL, sent.attributes, sent.body),
        Raw(sent.topic, {**sent.attributes, "ce_tenant": "other"}, sent.body),
        Raw(sent.topic, {**sent.attributes, "added": "x"}, sent.body),
    ):
        (found,) = opened([other], keyring)
        assert isinstance(found, Forged)


def test_of_messages_that_are_opened_together_each_is_judged_for_itself() -> None:
    good, strange = raw(denied()), raw(denied())
    forged = Raw(good.topic, good.attributes, good.body + b" ")
    newer = {**strange.attributes, "ce_type": "interlock.task.denied.v9"}
    newer[MAC] = KEYRING.sign(canonical(Raw(strange.topic, newer, strange.body)))
    unknown = Raw(strange.topic, newer, strange.body)
    stranger = Keyring(KEYRING.keys)
    found = opened([forged, good, unknown, good], stranger)
    assert [type(one) for one in found] == [Forged, Envelope, UnknownType, Envelope]
    assert found[1] == read(good)


@pytest.mark.parametrize("code", ["", "test", "test:", "test:é", "\u2028:é", ":"])
def test_a_code_that_is_none_is_a_forged_one(code: str) -> None:
    sent = raw(denied())
    with pytest.raises(Forged):
        believe(Raw(sent.topic, {**sent.attributes, MAC: code}, sent.body), KEYRING)


def test_only_so_many_messages_are_remembered() -> None:
    keyring = Keyring(KEYRING.keys)
    stamp = Stamp("policy", keyring, noon)
    sent = [stamp.from_journal(denied(), (n, 0), "cause") for n in range(3 * LEAST)]
    found = [keyring.known.find(one.attributes[MAC], one) for one in sent]
    assert not any(found[:LEAST])
    assert None not in found[-LEAST:]


def test_a_submission_needs_no_code_of_ours() -> None:
    sent = raw(submitted(), "agent")
    assert MAC not in sent.attributes
    believe(sent, KEYRING)


def test_a_type_on_a_topic_where_it_does_not_belong_is_unreadable() -> None:
    sent = raw(denied())
    with pytest.raises(Unreadable, match="does not belong"):
        read(Raw(Topic.TASK_CONTROL, sent.attributes, sent.body))


def test_a_message_that_names_two_tenants_is_unreadable() -> None:
    sent = raw(denied())
    with pytest.raises(Unreadable, match="two tenants"):
        read(Raw(sent.topic, {**sent.attributes, "ce_tenant": "globex"}, sent.body))


def test_a_message_without_a_type_is_unreadable_and_a_newer_one_is_unknown() -> None:
    sent = raw(denied())
    with pytest.raises(Unreadable, match="no type"):
        read(Raw(sent.topic, {}, sent.body))
    with pytest.raises(UnknownType):
        read(Raw(sent.topic, {**sent.attributes, "ce_type": "interlock.new.v1"}, sent.body))


def test_the_same_cause_gives_the_same_ids_and_equal_facts_of_it_differ() -> None:
    stamp, cause = Stamp("policy", KEYRING, noon), raw(authenticated())
    first, again = (stamp.answer(cause, [denied(), denied()]) for _ in range(2))
    assert first == again
    assert len({message.id for message in first}) == 2
    other = Stamp("invocation", KEYRING, noon).answer(cause, [denied()])
    assert other[0].id not in {message.id for message in first}


texts = st.text(st.characters(codec="utf-8"), max_size=20)


@given(st.dictionaries(texts, texts, max_size=5), st.binary(max_size=50))
@example({"%s%": "%d", "e": "\u00e9"}, b"")
@example({"%s%": "%d"}, b"")
def test_the_covered_bytes_are_each_part_behind_its_length_in_bytes(
    attributes: dict[str, str], body: bytes
) -> None:
    parts = [b"task.events"]
    for name in sorted(attributes.keys() - {MAC}):
        parts += name.encode(), attributes[name].encode()
    expected = b"".join(b"%d:%b" % (len(part), part) for part in [*parts, body])
    assert canonical(Raw(Topic.TASK_EVENTS, attributes, body)) == expected


def test_letters_of_one_message_differ_by_group_and_by_code() -> None:
    sent = raw(denied())
    fake = Raw(sent.topic, {**sent.attributes, MAC: "test:00"}, sent.body)
    ids = {letter_id(sent, "gateway"), letter_id(sent, "audit"), letter_id(fake, "gateway")}
    assert len(ids) == 3
