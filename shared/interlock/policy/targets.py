"""What a task is about, as Cedar sees it: a tool, a resource, a prompt, or a whole server."""

import json
from typing import Any, NamedTuple

from interlock.contracts.ids import QUALIFIER
from interlock.contracts.task import TaskKind
from interlock.policy.arguments import Unrepresentable
from interlock.policy.model import Question


class Target(NamedTuple):
    """A Cedar entity, and the name that its upstream knows it by."""

    kind: str
    id: str
    name: str


def target_of(question: Question) -> Target:
    """What is asked for; `Unrepresentable` where the arguments do not say it."""
    server = question.server_name
    if question.kind is TaskKind.INSPECT:
        return Target("Server", server, server)
    if question.kind is TaskKind.CALL:
        name = "" if question.tool is None else question.tool.name
        return Target("Tool", f"{server}{QUALIFIER}{name}", name)
    kind, name = _named(question.kind, _object(question.arguments))
    return Target(kind, f"{server}{QUALIFIER}{name}", name)


def _named(kind: TaskKind, arguments: dict[str, Any]) -> tuple[str, str]:
    """`Resource` or `Prompt`, and its name."""
    if kind is TaskKind.READ:
        return "Resource", _text(arguments, "uri")
    if kind is TaskKind.PROMPT:
        return "Prompt", _text(arguments, "name")
    ref = arguments.get("ref")
    if not isinstance(ref, dict):
        raise Unrepresentable("the arguments have no `ref`")
    if ref.get("type") == "ref/prompt":
        return "Prompt", _text(ref, "name")
    return "Resource", _text(ref, "uri")


def _text(arguments: dict[str, Any], name: str) -> str:
    found = arguments.get(name)
    if not isinstance(found, str) or not found:
        raise Unrepresentable(f"the arguments have no text `{name}`")
    return found


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise Unrepresentable("the arguments cannot be read as JSON") from None
    return found if isinstance(found, dict) else {}
