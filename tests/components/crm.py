"""The sample CRM as a process: what is called there, how it fails, and what took effect."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.request import Request, urlopen

from tests.components.suite import upstream

SERVER = "crm"
SCOPE = "crm:use"
REPEATABLE = "search_opportunities"
NOT_REPEATABLE = "grant_discount"


@dataclass(frozen=True)
class Crm:
    """A running CRM."""

    url: str

    def calls(self) -> Counter[str]:
        """How often each task took effect, by task id."""
        return Counter(self._control("calls")["by_task"])

    def begun(self, tool: str) -> int:
        """How many failures of `tool` were played so far: a delayed call counts as it begins."""
        return int(self._control("failures").get(tool, 0))

    def fail(self, tool: str, how: str, **more: Any) -> None:
        """The next call of `tool` fails; `times`, `seconds`, `status`, `retry_after`."""
        self._control("failures", {"tool": tool, "how": how, **more})

    def cancelled(self, tool: str) -> int:
        """How many calls of `tool` were cancelled there while they ran."""
        return int(self._control("calls")["cancelled"].get(tool, 0))

    def release(self) -> None:
        """What is held (`hold`) goes on."""
        self._control("release", {})

    def reset(self) -> None:
        """Nothing fails any more, and nothing was called."""
        self._control("reset", {})

    def _control(self, what: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        with urlopen(Request(f"{self.url}/control/{what}", data=data), timeout=10) as answer:
            text = answer.read()
        return json.loads(text) if text else None


def arguments(tool: str, n: int) -> dict[str, Any]:
    """Arguments of the `n`th call: no two requests are the same."""
    if tool == REPEATABLE:
        return {"query": f"fleet {n}"}
    return {"opportunity_id": f"opp-{n % 5 + 1}", "percent": n % 50 + 1}


@contextmanager
def crm(*options: str) -> Iterator[Crm]:
    """A CRM of one's own; it outlives whatever is killed beside it."""
    with upstream("interlock.samples.crm", *options) as url:
        yield Crm(url)
