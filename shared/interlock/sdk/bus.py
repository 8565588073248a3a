"""An agent that publishes its tasks straight to the bus."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson
from joserfc.errors import JoseError

from interlock.bus import Keyring, Opening, Raw, Stamp, open_bus
from interlock.contracts.ids import TaskId, derived
from interlock.errors import Refused
from interlock.identity.keys import new_key, write_secret
from interlock.identity.submissions import AgentKey, Request, requested
from interlock.sdk.client import Interlock


def _now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 the edge of an agent's own process


@dataclass(frozen=True)
class Submission:
    """A call to ask for. The same `client_ref` again is the same task."""

    client_ref: str
    server: str
    tool: str
    arguments: Mapping[str, Any]
    within: timedelta = timedelta(hours=1)
    """Until its deadline."""


async def make_key(client: Interlock, tenant: str, agent: str, file: Path) -> None:
    """Make a key for an agent, keep it in `file` (mode 0600), and let auth believe its public half.

    The client's caller needs the right to manage agents.
    """
    private = new_key()
    content = {"tenant": tenant, "agent": agent, "key": private}
    write_secret(file, orjson.dumps(content, option=orjson.OPT_INDENT_2))
    public = {name: value for name, value in private.items() if name != "d"}
    await client.request("POST", f"/auth/v1/agents/{agent}/keys", {"public_key": public})


class BusAgent:
    """`async with BusAgent.from_file(url, file) as agent: await agent.submit([Submission(…)])`.

    It signs with its own Ed25519 key, which auth must know, and only appends to `task.submitted`.
    Outcomes do not come back over the bus: await them over HTTP:
    `await interlock.task(id).accepted()`, then `.outcome()`.
    """

    def __init__(
        self,
        bus_url: str,
        key: AgentKey,
        *,
        prefix: str = Opening.prefix,
        now: Callable[[], datetime] = _now,
    ) -> None:
        """`prefix`: the suite's INTERLOCK_PREFIX, where it has one."""
        self._key = key
        self._now = now
        self._bus = open_bus(Opening(bus_url, Keyring({}), now, prefix))

    @classmethod
    def from_file(cls, bus_url: str, file: Path, *, prefix: str = Opening.prefix) -> "BusAgent":
        """With the key that `interlock agent add --bus-key` wrote; `Refused` where it is none."""
        try:
            said = orjson.loads(file.read_bytes())
            key = AgentKey.of(said["tenant"], said["agent"], said["key"])
            return cls(bus_url, key, prefix=prefix)
        except (OSError, ValueError, KeyError, TypeError, JoseError):
            raise Refused(f"`{file}` is no key of an agent for the bus") from None

    async def __aenter__(self) -> Self:
        await self._bus.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._bus.close()

    def task_id(self, client_ref: str) -> TaskId:
        """The task that a submission under this reference is."""
        return TaskId(derived("bus", self._key.tenant, self._key.signer.service, client_ref))

    async def submit(self, submissions: Sequence[Submission]) -> Sequence[TaskId]:
        """Publish them all, durably; their tasks' ids. `Unavailable` where the bus is away."""
        await self._bus.publish([self._signed(one) for one in submissions])
        return [self.task_id(one.client_ref) for one in submissions]

    def _signed(self, one: Submission) -> Raw:
        now = self._now()
        arguments = orjson.dumps(one.arguments).decode()
        request = Request(one.client_ref, one.server, one.tool, arguments, now + one.within)
        fact = self._key.submit(request, now)
        stamp = Stamp(f"agent:{fact.agent}", Keyring({}), self._now)
        made = derived("submission", fact.tenant, fact.agent, one.client_ref, requested(fact))
        return stamp.state(fact, made, None, None)
