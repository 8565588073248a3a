"""Which input a task may be given, to the letter: whoever gives it is told what does not fit."""

from collections.abc import Mapping

import orjson

from interlock.contracts.task import TaskState
from interlock.errors import Refused
from services.gateway.decide.manner import asked_of
from services.gateway.decide.tell import answers_of
from services.gateway.model import Snapshot


def require_asked(snapshot: Snapshot, responses: Mapping[str, str], round_: int | None) -> None:
    """`Refused`: `conflict` where the task does not ask, asks in another round, or was answered
    otherwise; `invalid` where it asks for something else. `round_`: which one is meant, if said."""
    task, requests = snapshot.task, asked_of(snapshot)
    if snapshot.state is not TaskState.INPUT_REQUIRED:
        raise Refused(
            f"task `{task.id}` asks for no input: it is `{snapshot.state.value}`",
            code="conflict",
            data={"state": snapshot.state.value},
        )
    if round_ not in (None, task.round):
        raise Refused(
            f"task `{task.id}` does not ask in round `{round_}`, it asks in round `{task.round}`; "
            "look at its `requests` and answer those",
            code="conflict",
            data={"state": snapshot.state.value, "round": task.round},
        )
    unknown, left = sorted(responses.keys() - requests.keys()), outstanding(snapshot)
    if unknown or (left and not responses):
        wrong = f"does not ask for {_names(unknown)}" if unknown else "was given no response"
        raise Refused(
            f"task `{task.id}` {wrong}; it asks for {_names(left) if left else 'nothing more'}",
            code="invalid",
            data={
                "violations": [
                    {"at": f"/responses/{key}", "what": "is not asked for"} for key in unknown
                ],
                "asked": left,
            },
        )
    require_same(snapshot, responses)


def require_same(snapshot: Snapshot, responses: Mapping[str, str]) -> None:
    """`Refused` (`conflict`) where another answer is there: the first of each key counts."""
    there = answers_of(snapshot)
    other = sorted(
        key for key, text in responses.items() if key in there and there[key] != orjson.loads(text)
    )
    if other:
        raise Refused(
            f"task `{snapshot.task.id}` was given another answer for {_names(other)} before, which "
            "counts; leave it out",
            code="conflict",
            data={"state": snapshot.state.value, "answered": sorted(there)},
        )


def outstanding(snapshot: Snapshot) -> list[str]:
    """The keys of what is asked and not answered yet."""
    return sorted(asked_of(snapshot).keys() - answers_of(snapshot).keys())


def _names(keys: list[str]) -> str:
    return ", ".join(f"`{key[:100]}`" for key in keys)
