"""The door for people who answer holds, or ask why."""

from typing import Any

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from interlock.errors import Refused
from interlock.identity.asgi import answered, authenticate
from interlock.identity.caller import Caller
from interlock.identity.roles import Right, has, require
from interlock.identity.tokens import Tokens
from interlock.runtime.bodies import Body, body
from interlock.runtime.relay import Relay
from services.policy import decide
from services.policy.handlers.approvals import Approvals, Reply
from services.policy.model import Approval, Decision


class Said(Body):
    """Why, and the digest of the request that the person looked at."""

    reason: str = Field(default="", max_length=2000)
    digest: str | None = None


class TaskDoor:
    """The endpoints, relative to `/policy`."""

    def __init__(self, approvals: Approvals, relay: Relay, tokens: Tokens) -> None:
        self._approvals = approvals
        self._relay = relay
        self._tokens = tokens

    def routes(self) -> list[Route]:
        return [
            Route("/v1/approvals", answered(self.held)),
            Route("/v1/tasks/{id}/approve", answered(self.approve), methods=["POST"]),
            Route("/v1/tasks/{id}/refuse", answered(self.refuse), methods=["POST"]),
            Route("/v1/decisions/{id}", answered(self.decision)),
        ]

    async def held(self, request: Request) -> Response:
        """Held tasks: all for those who may read approvals, else those that the caller may answer.

        With the exact arguments, and a later round's input: that is what an approver approves.
        """
        caller = await authenticate(request, self._tokens)
        rows = await self._approvals.held(caller.principal.tenant)
        if not has(caller, Right.APPROVALS_READ):
            rows = [row for row in rows if decide.may_answer(caller.roles, row)]
        return JSONResponse({"approvals": [_hold(row) for row in rows]})

    async def approve(self, request: Request) -> Response:
        """Approve exactly this task; the answer says what became of it."""
        caller, reply = await self._reply(request)
        return await self._answered(await self._approvals.approve(caller, reply))

    async def refuse(self, request: Request) -> Response:
        """Refuse it: the task ends as denied."""
        caller, reply = await self._reply(request)
        return await self._answered(await self._approvals.refuse(caller, reply))

    async def decision(self, request: Request) -> Response:
        """What was decided about a task, why, and who answered its holds."""
        caller = await authenticate(request, self._tokens)
        if not has(caller, Right.POLICY_READ):
            require(caller, Right.TASKS_READ)
        tenant, task_id = caller.principal.tenant, request.path_params["id"]
        decisions = self._approvals.decisions
        rows = await decisions.of(tenant, task_id)
        if not rows:
            raise Refused(f"policy knows no task `{task_id}`", code="not_found")
        answers = await decisions.approvals(tenant, task_id)
        return JSONResponse(
            {
                "decisions": [_decision(row) for row in rows],
                "answers": [_approval(one) for one in answers],
            }
        )

    async def _reply(self, request: Request) -> tuple[Caller, Reply]:
        caller = await authenticate(request, self._tokens)
        said = await body(request, Said)
        task_id = request.path_params["id"]
        return caller, Reply(task_id, caller.principal, said.reason, said.digest)

    async def _answered(self, row: Decision) -> Response:
        await self._relay.flush()
        return JSONResponse(_decision(row))


def _decision(row: Decision) -> dict[str, Any]:
    return {
        "task": row.task.model_dump(mode="json"),
        "state": row.state,
        "decision_id": row.decision_id,
        "policy_version": row.policy_version,
        "code": row.code,
        "reason": row.reason,
        "because": row.because,
        "approvers": row.approvers,
        "expires_at": row.expires_at.isoformat() if row.expires_at else None,
        "decided_at": row.decided_at.isoformat(),
    }


def _hold(row: Decision) -> dict[str, Any]:
    return _decision(row) | {
        "arguments": row.ask.arguments if row.ask else None,
        "input": row.ask.given if row.ask else None,
        "digest": row.task.request_digest,
    }


def _approval(one: Approval) -> dict[str, Any]:
    return vars(one) | {"at": one.at.isoformat()}
