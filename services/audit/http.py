"""Audit's door: who did what, when, and whether the ledger still holds."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from interlock.errors import Refused
from interlock.identity.asgi import answered
from interlock.identity.asgi import authenticate as identify
from interlock.identity.roles import Right, require
from interlock.identity.tokens import Tokens
from interlock.ledger import parts
from services.audit.decide import (
    cursor_of,
    in_causal_order,
    micros,
    moment_of,
    place_of,
    visible_tenants,
)
from services.audit.handlers import Audit
from services.audit.model import Found, Question

MOST = 1000
MOST_OF_A_TASK = 10_000


class Door:
    """The endpoints, relative to `/audit`. A caller sees its own tenant's records."""

    def __init__(self, audit: Audit, tokens: Tokens) -> None:
        self._audit = audit
        self._ledger = audit.ledger
        self._tokens = tokens

    async def records(self, request: Request) -> Response:
        """Records that match, newest first: `task agent server tool type since until`."""
        question = await self._question(request)
        found = await self._ledger.answer(replace(question, limit=question.limit + 1))
        page = found[: question.limit]
        more = cursor_of(page[-1]) if len(found) > len(page) else None
        return JSONResponse({"records": [_summary(one) for one in page], "next": more})

    async def task(self, request: Request) -> Response:
        """All records of a task, each after its cause, with the bodies as they were received."""
        task = request.path_params["id"]
        tenants = await self._tenants(request)
        question = Question(tenants, subject=task, limit=MOST_OF_A_TASK)
        found = await self._ledger.answer(question)
        if not found:
            raise Refused(f"the ledger has no record of task `{task}`", code="not_found")
        return JSONResponse({"task": task, "records": list(map(_whole, in_causal_order(found)))})

    async def summary(self, request: Request) -> Response:
        """How much there is of what; the filters are those of `records`."""
        counts = await self._ledger.count(await self._question(request))
        heads = await self._ledger.heads()
        newest = await self._ledger.checkpoints(1)
        return JSONResponse(
            {
                "ledger": self._ledger.origin.ledger,
                "shards": [{"shard": h.shard, "seq": h.seq, "hash": h.hash.hex()} for h in heads],
                "checkpoint_at": moment_of(newest[0][0]).isoformat() if newest else None,
                "records": sum(count.records for count in counts),
                "counts": [asdict(count) for count in counts],
            }
        )

    async def checkpoints(self, request: Request) -> Response:
        """Signed checkpoints, newest first, and the keys that prove them (JWK)."""
        await self._tenants(request)
        found = await self._ledger.checkpoints(_limit(request.query_params))
        origin = self._ledger.origin
        return JSONResponse(
            {
                "ledger": origin.ledger,
                "shards": origin.shards,
                "keys": self._audit.public_keys(),
                "checkpoints": [
                    {"time": moment_of(time).isoformat(), "statement": statement}
                    for time, _, statement in found
                ],
            }
        )

    async def verify(self, request: Request) -> Response:
        """Verify the whole ledger now. Of others' tasks only numbers are told."""
        tenants = await self._tenants(request)
        report = (await self._audit.verify()).seen_by(tenants)
        return JSONResponse(report.as_data() | {"text": report.text()})

    async def export(self, request: Request) -> Response:
        """The ledger as a file for `interlock audit verify`."""
        tenants = await self._tenants(request)
        name = f"ledger-{self._ledger.origin.ledger}.jsonl.gz"
        return StreamingResponse(
            self._audit.export(tenants),
            media_type="application/gzip",
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )

    async def _tenants(self, request: Request) -> tuple[str, ...]:
        caller = await identify(request, self._tokens)
        require(caller, Right.AUDIT_READ)
        return visible_tenants(caller.principal, caller.roles)

    async def _question(self, request: Request) -> Question:
        tenants, asked = await self._tenants(request), request.query_params
        return Question(
            tenants=tenants,
            subject=asked.get("task"),
            agent=asked.get("agent"),
            server=asked.get("server"),
            tool=asked.get("tool"),
            type=asked.get("type"),
            since=_time(asked, "since"),
            until=_time(asked, "until"),
            after=place_of(asked["cursor"]) if "cursor" in asked else None,
            limit=_limit(asked),
        )


def _limit(asked: Mapping[str, str]) -> int:
    given = asked.get("limit", "100")
    if not (given.isascii() and given.isdigit() and 1 <= int(given[:9]) <= MOST):
        raise Refused(f"`limit` is a number from 1 to {MOST}", code="invalid")
    return int(given)


def _time(asked: Mapping[str, str], name: str) -> int | None:
    if name not in asked:
        return None
    try:
        time = datetime.fromisoformat(asked[name].replace(" ", "+"))  # a `+` not escaped in a URL
    except ValueError:
        raise Refused(
            f"`{name}` is a time as in ISO 8601, such as `2026-01-31T12:00:00Z`", code="invalid"
        ) from None
    return micros(time if time.tzinfo else time.replace(tzinfo=UTC))


def _summary(found: Found) -> dict[str, Any]:
    record, entry, index = found.record, found.entry, found.index
    shown = index._asdict() | {
        "id": entry.event_id,
        "tenant": entry.tenant,
        "task": entry.subject,
        "arrived_at": moment_of(entry.arrived_at).isoformat(),
        "stated_at": moment_of(index.stated_at).isoformat() if index.stated_at else None,
        "shard": record.shard,
        "seq": record.seq,
        "hash": record.hash.hex(),
    }
    if entry.fault:
        shown |= {"fault": entry.fault, "reason": entry.reason}
    return shown


def _whole(found: Found) -> dict[str, Any]:
    _, attributes, body = parts(found.entry.kept)
    try:
        said = orjson.loads(body)
    except ValueError:
        said = body.decode("utf-8", "backslashreplace")
    told = {name: value.encode("utf-8", "replace").decode() for name, value in attributes.items()}
    return _summary(found) | {"attributes": told, "body": said}


def routes(door: Door) -> list[Route]:
    """Audit's routes."""
    return [
        Route("/v1/records", answered(door.records)),
        Route("/v1/tasks/{id}", answered(door.task)),
        Route("/v1/summary", answered(door.summary)),
        Route("/v1/checkpoints", answered(door.checkpoints)),
        Route("/v1/verify", answered(door.verify), methods=["POST"]),
        Route("/v1/export", answered(door.export)),
    ]
