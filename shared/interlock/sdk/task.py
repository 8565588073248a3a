"""What a client is told of a task."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from interlock.contracts.task import TaskState


@dataclass(frozen=True)
class Outcome:
    """A task as the gateway showed it: final, or where it stands."""

    id: str
    state: TaskState
    result: Any = None
    """The tool's result as MCP has it (`content`, `structuredContent`, …), once it succeeded."""
    is_error: bool = False
    """The tool itself says that it failed."""
    code: str = ""
    reason: str = ""
    requests: Mapping[str, Any] = field(default_factory=dict)
    """What it asks for and was not given yet, by key (MCP's `InputRequests`), while it is
    `input_required`."""
    round: int = 0
    """How often it was given all that it asked for."""
    document: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Everything that the gateway told."""

    @property
    def succeeded(self) -> bool:
        """Whether the tool answered and does not call its answer an error."""
        return self.state is TaskState.SUCCEEDED and not self.is_error

    @property
    def text(self) -> str:
        """The result's text blocks, joined by newlines."""
        blocks = (self.result or {}).get("content", ())
        return "\n".join(block["text"] for block in blocks if block.get("type") == "text")

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> "Outcome":
        """From the gateway's document."""
        asked, given = document.get("requests") or {}, document.get("answered") or ()
        return cls(
            id=document["id"],
            state=TaskState(document["state"]),
            result=document.get("result"),
            is_error=bool(document.get("is_error")),
            code=document.get("code") or "",
            reason=document.get("reason") or "",
            requests={key: one for key, one in asked.items() if key not in given},
            round=document.get("round", 0),
            document=document,
        )


@dataclass(frozen=True)
class Event:
    """One milestone of a task. `id` is its place in the task's log."""

    id: str
    type: str
    data: Mapping[str, Any]
