"""What a fact says, in a few words for people."""

from collections.abc import Mapping
from typing import Any

TOLD = ("code", "reason", "message", "missing", "because", "attempt", "outcome", "was", "now")
LONGEST = 160


def words(facts: Mapping[str, Any]) -> str:
    """The fields of a fact about a task that a reader looks for; `--json` has them all."""
    said = [f"{name}: {_brief(facts[name])}" for name in TOLD if facts.get(name)]
    if facts.get("by"):
        said.append(f"by: {facts['by']['name']}")
    said += [_attempt(one) for one in facts.get("attempts") or ()]
    return "; ".join(said)


def _attempt(one: Mapping[str, Any]) -> str:
    detail = f", {_brief(one['detail'])}" if one.get("detail") else ""
    return f"attempt {one['number']}: {one['outcome']} ({one['seconds']:.2f} s{detail})"


def _brief(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
