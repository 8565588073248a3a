"""The client of the gateway's REST API."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import aiohttp

from interlock.errors import InterlockError, Refused, Unavailable, Unsure
from interlock.sdk.credentials import ApiKey, Credential
from interlock.sdk.sse import read_events
from interlock.sdk.task import Event, Outcome

LONGEST_WAIT = 50
"""Seconds that one request waits for an outcome; longer waits are several requests."""
GLANCE = 0.05
"""Seconds between two looks at whether a task is there."""
PAUSE = 0.5
"""Seconds before a stream that broke is taken up again."""


class Interlock:
    """`async with Interlock(url, key) as interlock: await interlock.call("crm", "search", {…})`.

    Errors that the gateway tells are raised as `Refused` (its code and sentence) or, where a repeat
    may help, `Unavailable`. How a task ended is never an error: see `Outcome`.
    """

    def __init__(self, url: str, credential: Credential | str) -> None:
        self.url = url.rstrip("/")
        self._credential = ApiKey(credential) if isinstance(credential, str) else credential
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
        self._session = aiohttp.ClientSession(timeout=timeout)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.session.close()

    @property
    def session(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("use `async with Interlock(…)`")
        return self._session

    async def call(
        self,
        server: str,
        tool: str,
        arguments: Mapping[str, Any],
        *,
        wait: float = 60.0,
        idempotency_key: str | None = None,
    ) -> Outcome:
        """Call a tool and wait for how it ends; after `wait` seconds, for where it stands."""
        handle = await self.submit(server, tool, arguments, idempotency_key=idempotency_key)
        return await handle.outcome(wait)

    async def submit(  # noqa: PLR0913 one parameter for each field of a task
        self,
        server: str,
        tool: str,
        arguments: Mapping[str, Any],
        *,
        idempotency_key: str | None = None,
        deadline_seconds: float | None = None,
        capabilities: Mapping[str, Any] | None = None,
    ) -> "TaskHandle":
        """Ask for a call. With an idempotency key a repeat of this is the same task.

        The server may ask for what `capabilities` (MCP's `ClientCapabilities`, as in
        `{"elicitation": {}}`) declare; `Outcome.requests` shows it, `TaskHandle.give` answers.
        """
        body: dict[str, Any] = {"server": server, "tool": tool, "arguments": dict(arguments)}
        if deadline_seconds is not None:
            body["deadline_seconds"] = deadline_seconds
        if capabilities is not None:
            body["capabilities"] = dict(capabilities)
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        document = await self.request("POST", "/v1/tasks", body, headers)
        return TaskHandle(self, document["id"])

    def task(self, task_id: str) -> "TaskHandle":
        """A task by its id."""
        return TaskHandle(self, task_id)

    async def tools(self) -> Sequence[Mapping[str, Any]]:
        """The tools that this caller may use."""
        found: Sequence[Mapping[str, Any]] = (await self.request("GET", "/v1/tools"))["tools"]
        return found

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """One request to any door of the suite; its JSON answer, None where it has no body."""
        try:
            async with self.session.request(
                method, self.url + path, json=body, headers=await self._headers(headers)
            ) as answer:
                return await _told(answer)
        except aiohttp.ClientError as error:
            raise self._away(error) from None

    async def download(self, path: str) -> AsyncIterator[bytes]:
        """A body that is no JSON, piece by piece."""
        try:
            async with self.session.get(
                self.url + path, headers=await self._headers(None)
            ) as answer:
                if answer.status != 200:
                    await _told(answer)
                async for chunk in answer.content.iter_any():
                    yield chunk
        except aiohttp.ClientError as error:
            raise self._away(error) from None

    async def stream(self, path: str, headers: Mapping[str, str]) -> AsyncIterator[Event]:
        """Server-sent events at `path`, until the server ends the stream."""
        try:
            async with self.session.get(
                self.url + path,
                headers=await self._headers({"Accept": "text/event-stream", **headers}),
            ) as answer:
                if answer.status != 200:
                    await _told(answer)
                async for event in read_events(answer.content):
                    yield event
        except aiohttp.ClientError as error:
            raise self._away(error) from None

    def _away(self, error: aiohttp.ClientError) -> Unavailable:
        return Unavailable(
            f"cannot reach Interlock at `{self.url}`: {error}; is it up? (`interlock up`)",
            code="unreachable",
        )

    async def _headers(self, more: Mapping[str, str] | None) -> dict[str, str]:
        token = await self._credential.token(self.session, self.url)
        return {"Authorization": f"Bearer {token}", **(more or {})}


@dataclass(frozen=True)
class TaskHandle:
    """One task, wherever it was asked for."""

    client: Interlock
    id: str

    async def show(self, wait: float = 0) -> Outcome:
        """Where it stands; the gateway waits up to `wait` seconds for its end."""
        headers = {"Prefer": f"wait={int(wait)}"} if wait >= 1 else {}
        path = f"/v1/tasks/{self.id}"
        return Outcome.read(await self.client.request("GET", path, None, headers))

    async def accepted(self, wait: float = 10.0) -> Outcome:
        """A task that was submitted on the bus: where it stands, once auth believed it.

        `Refused` (`not_found`) where that is not so after `wait` seconds.
        """
        clock = asyncio.get_running_loop().time
        until = clock() + wait
        while True:
            try:
                return await self.show()
            except Refused as error:
                if error.code != "not_found" or clock() > until:
                    raise
            await asyncio.sleep(GLANCE)

    async def outcome(self, wait: float = 60.0) -> Outcome:
        """How it ended; after `wait` seconds, where it stands."""
        loop = asyncio.get_running_loop()
        until = loop.time() + wait
        while True:
            left = until - loop.time()
            found = await self.show(min(max(left, 0), LONGEST_WAIT))
            if found.state.final or left <= 1:
                return found

    async def events(self, after: str = "", *, patience: float = 30.0) -> AsyncIterator[Event]:
        """Milestones as they happen, from the first on or behind `after`, until the task ends.

        A stream that breaks is taken up again. `Unavailable` where the first one cannot be had,
        or none for `patience` seconds.
        """
        clock = asyncio.get_running_loop().time
        heard: float | None = None
        while True:
            headers = {"Last-Event-ID": after} if after else {}
            try:
                async for event in self.client.stream(f"/v1/tasks/{self.id}/events", headers):
                    after, heard = event.id or after, clock()
                    yield event
                if (await self.show()).state.final:
                    return
                heard = clock()
            except Unavailable:
                if heard is None or clock() - heard > patience:
                    raise
            await asyncio.sleep(PAUSE)

    async def give(
        self, responses: Mapping[str, Mapping[str, Any]], *, round: int | None = None
    ) -> Outcome:
        """Give a task that is `input_required` what it asks for, by the keys of its `requests`.

        Each response is what MCP has for it: `{"action": "accept", "content": {…}}` where the
        server elicits. Some of them are kept until the others come. With the `round` of the
        outcome that showed the requests, a response is never taken for one to a later question.
        Where it stands then. `Refused`: `conflict` where it does not ask (in that round) or was
        answered otherwise, `invalid` where it asks for something else, `not_found` where it is not
        the caller's own.
        """
        body: dict[str, Any] = {"responses": {key: dict(one) for key, one in responses.items()}}
        if round is not None:
            body["round"] = round
        return Outcome.read(await self.client.request("POST", f"/v1/tasks/{self.id}/input", body))

    async def cancel(self) -> None:
        """Ask for its end; whether that came in time is its outcome."""
        await self.client.request("DELETE", f"/v1/tasks/{self.id}")


async def _told(answer: aiohttp.ClientResponse) -> Any:
    text = await answer.text()
    if answer.status < 400:
        return json.loads(text) if text else None
    raise _error(answer, text)


def _error(answer: aiohttp.ClientResponse, text: str) -> InterlockError:
    """A repeat of what only reads is always safe; of anything else where nothing was taken on."""
    status, retry_after = answer.status, answer.headers.get("Retry-After")
    try:
        problem = json.loads(text)
        detail, code = str(problem.pop("detail")), str(problem.pop("code"))
    except (ValueError, KeyError, AttributeError, TypeError):
        problem, code = {}, "http"
        detail = f"the server answered `{status}`: {text[:200]}"
    lost = code == Unsure.code or status in {502, 504}
    if lost and answer.method not in {"GET", "HEAD"}:
        return Unsure(detail, data=problem)
    if lost or status == 503:
        return Unavailable(detail, code=code, retry_after=float(retry_after or 1))
    return Refused(detail, code=code, data=problem)
