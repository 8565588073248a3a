"""Rules about contracts that a linter cannot say."""

import sys
from collections.abc import Iterator

import pytest

from interlock.contracts.message import Fact, Model
from interlock.contracts.registry import MESSAGES
from interlock.contracts.topics import SERVICES, TOPOLOGY, Topic
from tests.architecture.tree import SHARED, TESTS, imported, modules, shown

CONTRACTS = SHARED / "contracts"
SAMPLES = TESTS / "interlock" / "contracts" / "samples"
MAY_IMPORT = {"pydantic", "interlock.contracts", "interlock.errors"}
IRREGULAR = {"held", "redriven", "unknown"}
"""Past or final, though they do not end in -ed."""

messages = pytest.mark.parametrize("message", MESSAGES.values(), ids=MESSAGES.keys())


def heirs(of: type[Model]) -> Iterator[type[Model]]:
    for heir in of.__subclasses__():
        if heir.__module__.startswith("interlock.contracts."):
            yield heir
            yield from heirs(heir)


def allowed(module: str) -> bool:
    own = any(module == name or module.startswith(f"{name}.") for name in MAY_IMPORT)
    return own or module.partition(".")[0] in sys.stdlib_module_names


def test_contracts_import_pydantic_and_the_standard_library_only() -> None:
    assert not [
        f"{shown(path)}: {module}"
        for path in modules(CONTRACTS)
        for module in imported(path)
        if not allowed(module)
    ]


@messages
def test_a_message_writes_its_own_type_out(message: type[Fact]) -> None:
    assert "type" in vars(message)
    suite, noun, verb, version = message.type.split(".")
    assert suite == "interlock"
    assert noun.replace("_", "").isalpha()
    assert version.removeprefix("v").isdecimal()
    assert verb.endswith("ed") or verb.split("_")[-1] in IRREGULAR, "a fact is past tense"


@messages
def test_a_message_travels_on_a_topic_of_the_topology(message: type[Fact]) -> None:
    assert message.topic in TOPOLOGY


def test_no_message_is_left_out_of_the_registry() -> None:
    written = {heir for heir in heirs(Fact) if "type" in vars(heir)}
    assert written == set(MESSAGES.values())


@pytest.mark.parametrize("model", sorted(heirs(Model), key=str))
def test_a_model_is_frozen_and_tolerates_what_it_does_not_know(model: type[Model]) -> None:
    assert model.model_config.get("frozen") is True
    assert model.model_config.get("extra") == "ignore"


def test_every_message_has_a_sample_and_no_sample_is_an_orphan() -> None:
    assert {path.stem for path in SAMPLES.glob("*.json")} == set(MESSAGES)


@pytest.mark.parametrize("topic", Topic)
def test_a_topic_is_written_and_read_by_services_that_exist(topic: Topic) -> None:
    spec = TOPOLOGY[topic]
    assert spec.publishers, "nobody writes it"
    assert spec.groups, "nobody reads it"
    assert spec.publishers <= {*SERVICES, "agents"}
    assert set(spec.groups) <= set(SERVICES)
    assert spec.hands_over <= set(spec.groups)


def test_audit_reads_every_topic_but_what_nobody_has_vouched_for() -> None:
    unread = {topic for topic, spec in TOPOLOGY.items() if "audit" not in spec.groups}
    assert unread == {Topic.TASK_SUBMITTED}
