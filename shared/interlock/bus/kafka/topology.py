"""Topics as the topology wants them, and as they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import errors
from aiokafka.admin import NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from interlock.bus.kafka.address import Address
from interlock.bus.kafka.link import LARGEST, TAKEN, Link
from interlock.bus.kafka.names import Names
from interlock.bus.kafka.trouble import asking
from interlock.bus.port import Change
from interlock.contracts.topics import TOPOLOGY, TopicSpec

FENCED = "fenced"
SIZE = "max.message.bytes"
SET_HERE = 1
"""`config_source` of what was set for the topic itself (KIP-226)."""

BY_HAND = {
    "partitions": "Kafka takes no partition away: say `partitions={}` in the bus's URL",
    "replication": "`kafka-reassign-partitions`, or say `replication={}` in the bus's URL",
}


@dataclass(frozen=True)
class Wanted:
    """One topic."""

    partitions: int
    replication: int
    settings: Mapping[str, str]


@dataclass(frozen=True)
class Found:
    """One topic that is there."""

    partitions: int
    replication: int
    settings: Mapping[str, str]
    own: Mapping[str, str]
    """Those of the settings that are not the broker's."""


def wanted(names: Names, address: Address) -> dict[str, Wanted]:
    """Every topic of the suite by name."""
    found: dict[str, Wanted] = {}
    for topic, spec in TOPOLOGY.items():
        kept = _log(address, spec)
        count = address.partitions or spec.partitions
        found[names.topic(topic)] = Wanted(count, address.replication, kept)
        for group in spec.groups:
            again = kept | {SIZE: str(LARGEST)}
            found[names.retry(topic, group)] = Wanted(count, address.replication, again)
            found[names.dead(topic, group)] = Wanted(1, address.replication, _table(address))
    return found


def _log(address: Address, spec: TopicSpec) -> dict[str, str]:
    milliseconds = int(spec.retention.total_seconds() * 1000)
    return _settings(address) | {"cleanup.policy": "delete", "retention.ms": str(milliseconds)}


def _table(address: Address) -> dict[str, str]:
    return _settings(address) | {"cleanup.policy": "compact", SIZE: str(LARGEST)}


def _settings(address: Address) -> dict[str, str]:
    """Of every topic. Brokers' defaults differ (MSK lets a replica lead that is behind)."""
    return {
        "min.insync.replicas": str(max(1, address.replication - 1)),
        "unclean.leader.election.enable": "false",
        "message.timestamp.type": "LogAppendTime",  # no writer's clock shortens the retention
        SIZE: str(TAKEN),
    }


def compare(wants: Mapping[str, Wanted], there: Mapping[str, Found]) -> list[Change]:
    """What differs.

    More partitions are safe: nothing relies on order, and new ones are read from the beginning.
    """
    changes: list[Change] = []
    for name, want in wants.items():
        what, found = f"topic `{name}`", there.get(name)
        if found is None:
            changes.append(Change(what, "missing", f"partitions={want.partitions}"))
            continue
        for label, is_, should in (
            ("partitions", found.partitions, want.partitions),
            ("replication", found.replication, want.replication),
        ):
            if is_ != should:
                safe = label == "partitions" and is_ < should
                todo = "" if safe else BY_HAND[label].format(is_)
                changes.append(Change(what, f"{label}={is_}", f"{label}={should}", safe, todo))
        for key, value in want.settings.items():
            is_now = found.settings.get(key)
            if is_now != value:
                changes.append(Change(what, f"{key}={is_now}", f"{key}={value}"))
    return changes


class Topology:
    """Looks, and makes it so."""

    def __init__(self, link: Link, names: Names) -> None:
        self._link = link
        self._wanted = wanted(names, link.address)

    async def plan(self) -> Sequence[Change]:
        return compare(self._wanted, await self._found())

    async def apply(self) -> None:
        there = await self._found()
        await self._create([name for name in self._wanted if name not in there])
        more, other = {}, []
        for name, found in there.items():
            want = self._wanted[name]
            if found.partitions < want.partitions:
                more[name] = NewPartitions(want.partitions, None)
            if any(found.settings.get(key) != value for key, value in want.settings.items()):
                whole = {**found.own, **want.settings}  # what is not named would be reset
                other.append(ConfigResource(ConfigResourceType.TOPIC, name, whole))
        with asking("change topics"):
            if more:
                await self._link.admin.create_partitions(more)
            if other:
                for answer in await self._link.admin.alter_configs(other):
                    _check(answer.resources)
        await self._link.ask("see the new topics", self._seen)

    async def _seen(self) -> None:
        """Every broker may still deny a topic that was only just made, or have no leader for it."""
        described = await self._link.admin.describe_topics(list(self._wanted))
        for one in described:
            count = sum(part["leader"] >= 0 for part in one["partitions"])
            if one["error_code"] or count < self._wanted[one["topic"]].partitions:
                raise errors.LeaderNotAvailableError(one["topic"])

    async def _create(self, names: Sequence[str]) -> None:
        topics = [
            NewTopic(
                name,
                self._wanted[name].partitions,
                self._wanted[name].replication,
                topic_configs=dict(self._wanted[name].settings),
            )
            for name in names
        ]
        if topics:
            await self._link.ask("create topics", lambda: self._make(topics))

    async def _make(self, topics: Sequence[NewTopic]) -> None:
        answer = await self._link.admin.create_topics(topics)
        for name, code, *told in answer.topic_errors:
            error = errors.for_code(code)
            if error is errors.InvalidReplicationFactorError and FENCED in str(told):
                raise errors.LeaderNotAvailableError(told)  # brokers that only just started
            if error is errors.TopicAuthorizationFailedError:
                raise error(name)
            if error not in {errors.NoError, errors.TopicAlreadyExistsError}:
                raise error(*told)

    async def _found(self) -> dict[str, Found]:
        """Those of our topics that are there."""
        names, admin = list(self._wanted), self._link.admin
        described = await self._link.ask("describe topics", lambda: admin.describe_topics(names))
        there: dict[str, Any] = {}
        for one in described:
            error = errors.for_code(one["error_code"])
            if error is errors.NoError:
                there[one["topic"]] = one["partitions"]
            elif error is not errors.UnknownTopicOrPartitionError:
                with asking("describe topics"):
                    raise error(one["topic"])
        settings = await self._settings(list(there))
        return {
            name: Found(
                len(partitions),
                min(len(one["replicas"]) for one in partitions),
                {key: value for key, value, _ in settings[name]},
                {key: value for key, value, source in settings[name] if source == SET_HERE},
            )
            for name, partitions in there.items()
        }

    async def _settings(self, names: Sequence[str]) -> dict[str, list[tuple[str, str, int]]]:
        """Settings of each topic: name, value, source."""
        if not names:
            return {}
        asked = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
        answers = await self._link.ask(
            "describe topics", lambda: self._link.admin.describe_configs(asked)
        )
        found: dict[str, list[tuple[str, str, int]]] = {}
        for answer in answers:
            with asking("describe the settings of topics"):
                _check(answer.resources)
            for _, _, _, name, entries in answer.resources:
                found[name] = [(entry[0], entry[1], entry[3]) for entry in entries]
        return found


def _check(resources: Sequence[Any]) -> None:
    for code, _, _, name, *_ in resources:
        error = errors.for_code(code)
        if error is not errors.NoError:
            raise error(name)
