"""What REST takes, as JSON."""

from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from interlock.contracts.ids import ServerName, ToolName
from interlock.runtime.bodies import invalid

T = TypeVar("T", bound=BaseModel)
Details = dict[str, Any]


class Sampling(BaseModel):
    """Models that the client may be asked to run."""

    context: Details | None = None
    tools: Details | None = None


class Elicitation(BaseModel):
    """Questions that a person may be asked."""

    form: Details | None = None
    url: Details | None = None


class Roots(BaseModel):
    """Folders that the client may be asked for."""

    list_changed: bool | None = Field(default=None, alias="listChanged")


class ClientCapabilities(BaseModel):
    """What a server may ask for, in MCP's words (2026-07-28, "Capabilities"). More may be declared.

    The SDK has this too, but all of the SDK would have to be imported before a task is taken.
    """

    experimental: dict[str, Details] | None = None
    sampling: Sampling | None = None
    elicitation: Elicitation | None = None
    roots: Roots | None = None
    extensions: dict[str, Details] | None = None
    tasks: Details | None = None


class NewTask(BaseModel):
    """A call of a tool, or a `read`, `prompt` or `complete` with the parameters that MCP has.

    It ends `deadline_seconds` from now at the latest, held or not. Its server may ask for what
    `capabilities` (MCP's `ClientCapabilities`) declare, and for nothing else.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    server: ServerName
    tool: ToolName | None = None
    """Of a call alone."""
    arguments: dict[str, Any] = Field(default_factory=dict)
    kind: Literal["call", "read", "prompt", "complete"] = "call"
    deadline_seconds: Annotated[float, Field(gt=0)] | None = None
    capabilities: ClientCapabilities = Field(default_factory=ClientCapabilities)

    @model_validator(mode="after")
    def _names_a_tool(self) -> Self:
        if (self.kind == "call") != (self.tool is not None):
            raise ValueError("a call names a `tool`, and nothing else does")
        return self


class NewInput(BaseModel):
    """Answers to what a task asks for, by the keys of its `requests`.

    Each is what MCP has for it (`ElicitResult`, `CreateMessageResult`, `ListRootsResult`). `round`
    is the task's when it asked: with it, no answer can be taken for one to a later question.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    responses: dict[str, dict[str, Any]]
    round: Annotated[int, Field(ge=0)] | None = None


def read_as(model: type[T], given: dict[str, Any]) -> T:
    """The body; `Refused` (`invalid`) with all that is wrong."""
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise invalid(error) from None
