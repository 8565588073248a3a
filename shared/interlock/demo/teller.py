"""What the audience sees: lines as things happen, or one JSON object per step."""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from interlock.errors import InterlockError
from interlock.sdk import Event
from interlock.sdk.words import words


def print_line(text: str) -> None:
    """One line on standard output, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


class Surprise(Exception):
    """Something was not as the demo says."""


def expect(what: bool, otherwise: str) -> None:
    """`Surprise` with the sentence unless `what` holds."""
    if not what:
        raise Surprise(otherwise)


@dataclass
class Step:
    """One scene: its title, what is said of it, its tasks and what happened to them."""

    name: str
    title: str
    as_json: bool
    said: list[str] = field(default_factory=list)
    tasks: list[str] = field(default_factory=list)
    events: list[Mapping[str, Any]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def say(self, text: str) -> None:
        """A sentence of the narrator."""
        self.said.append(text)
        self._print(f"   {text}")

    def event(self, event: Event) -> None:
        """Something that happened to a task, now."""
        self.events.append({"type": event.type, **event.data})
        at = str(event.data.get("time", ""))[11:23]
        self._print(f"     {at}  {event.type:<16}  {words(event.data)}".rstrip())

    def quote(self, text: str) -> None:
        """What a tool or a door answered, in its own words."""
        self.said.append(text)
        for line in text.splitlines() or [""]:
            self._print(f"     > {line}"[:200])

    def document(self, problem: str | None) -> dict[str, Any]:
        """The step as JSON."""
        return {
            "step": self.name,
            "title": self.title,
            "ok": problem is None,
            "said": self.said,
            "tasks": self.tasks,
            "events": self.events,
            **self.facts,
            **({} if problem is None else {"problem": problem}),
        }

    def _print(self, line: str) -> None:
        if not self.as_json:
            print_line(line)


@dataclass
class Teller:
    """Tells all steps."""

    as_json: bool
    tasks: list[tuple[str, str]] = field(default_factory=list)
    """Of the steps so far, each with its step's name."""
    _number: int = 0

    @contextmanager
    def step(self, name: str, title: str) -> Iterator[Step]:
        """One step; what is not as it says is told, and ends the demo."""
        self._number += 1
        if not self.as_json:
            print_line(f"\n{self._number}. {title}")
        step = Step(name, title, self.as_json)
        problem: str | None = None
        try:
            yield step
        except Surprise as error:
            problem = str(error)
            raise
        except InterlockError as error:
            problem = error.detail
            raise Surprise(problem) from error
        finally:
            self.tasks += [(name, task) for task in step.tasks]
            if self.as_json:
                print_line(json.dumps(step.document(problem), ensure_ascii=False))

    def close(self, text: str) -> None:
        """Words that belong to no step."""
        if not self.as_json:
            print_line(text)
