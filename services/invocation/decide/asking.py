"""What an upstream may ask of whoever called, and what it may tell them."""

import json
from collections.abc import Mapping
from typing import Any

from interlock.contracts.task import Client
from services.invocation.model import Asks, How, Job, Round, Unfit

MOST_ROUNDS = 100
"""An upstream that asks more often than this is going round in circles."""
MOST_LOGGED = 100
"""Log messages of one attempt that are passed on."""
LARGEST_ENTRY = 8192
"""Bytes of one."""
LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")
"""RFC 5424, least severe first."""
NEEDS = {
    "elicitation/create": "elicitation",
    "sampling/createMessage": "sampling",
    "roots/list": "roots",
}
"""Which capability of a client each request to it needs."""
MISSING_CAPABILITY = -32021
OURS = "io.modelcontextprotocol/tasks"
"""An extension that ends at the gateway: nobody here would follow an upstream's task."""
CUT = "… (cut: the entry had `{}` bytes)"


def unfit_to_ask(job: Job, asks: Asks) -> Unfit | None:
    """Why the task ends instead of asking; None where it may ask."""
    rounds = sum(one.outcome == How.ASKED.value for one in job.attempts)
    if rounds >= MOST_ROUNDS:
        return Unfit("too_many_rounds", f"the upstream asked for input in `{rounds}` rounds")
    try:
        requests = json.loads(asks.requests)
    except ValueError:
        requests = None
    if not isinstance(requests, dict):
        return Unfit("upstream_error", "the upstream asked for input in a form that is none of MCP")
    for request in requests.values():
        lacking = undeclared(job.client, request)
        if lacking is not None:
            told = (
                f"server `{job.task.server}` asked for `{lacking}`, which the caller's client did "
                "not declare"
            )
            return Unfit("undeclared_capability", told, _lacks(lacking, told))
    return None


def _lacks(capability: str, told: str) -> str | None:
    """The error of JSON-RPC for that (MCP 2026-07-28, "Capabilities"); none where no client could
    declare it."""
    name, _, part = capability.partition(".")
    if name not in NEEDS.values():
        return None
    required: dict[str, Any] = {name: {part: {}} if part else {}}
    data = {"requiredCapabilities": required}
    return _compact({"code": MISSING_CAPABILITY, "message": told, "data": data})


def unanswered(given: str | None) -> Unfit | None:
    """Why a request is not made again with `given`; None where it may be.

    A client answers what it is asked with a result, or not at all (MCP 2026-07-28, "Multi
    Round-Trip Requests", `InputResponses`): of one that said it cannot, the upstream hears nothing.
    """
    for key, answer in json.loads(given or "{}").items():
        if not isinstance(answer, dict):
            told = answer if isinstance(answer, str) else "it was given what is no result"
            return Unfit(
                "input_error", f"what the upstream asked for (`{key[:100]}`) lacks: {told}"
            )
    return None


def continues(job: Job, given: Round) -> bool:
    """Whether that round is one of the same request."""
    was, now = job.task, given.task
    same = was.model_copy(update={"round": now.round, "request_digest": now.request_digest})
    return same == now and job.arguments == given.arguments


def undeclared(client: Client, request: Any) -> str | None:
    """What `request` (`{method, params}`) needs of a client and `client` has not, or None."""
    asked = request if isinstance(request, dict) else {}
    method, params = asked.get("method"), asked.get("params") or {}
    if method not in NEEDS or not isinstance(params, dict):
        return str(method)[:100]
    need = NEEDS[method]
    has = json.loads(client.capabilities).get(need)
    if not isinstance(has, dict):
        return need
    if need == "elicitation" and not _has_mode(has, params.get("mode", "form")):
        return f"elicitation.{params.get('mode', 'form')}"[:100]
    if need == "sampling" and "tools" in params and "tools" not in has:
        return "sampling.tools"
    return None


def _has_mode(has: Mapping[str, Any], mode: object) -> bool:
    """Whether that mode of elicitation was declared; an empty capability is `form`'s."""
    return mode in has or (mode == "form" and "url" not in has)


def told_upstream(client: Client) -> Client:
    """Whoever calls, as an upstream is told: to the letter, but for the extension that is ours."""
    if client.capabilities == "{}":
        return client
    capabilities = json.loads(client.capabilities)
    declared = capabilities.get("extensions")
    if not isinstance(declared, dict) or OURS not in declared:
        return client
    extensions = {name: value for name, value in declared.items() if name != OURS}
    told = {name: value for name, value in capabilities.items() if name != "extensions"}
    told |= {"extensions": extensions} if extensions else {}
    return client.model_copy(update={"capabilities": _compact(told)})


def askable(client: Client) -> dict[str, Any]:
    """What may be asked of a client while a call runs: its capabilities for just that."""
    if client.capabilities == "{}":
        return {}
    capabilities = json.loads(client.capabilities)
    return {name: capabilities[name] for name in NEEDS.values() if name in capabilities}


def wants_logged(client: Client, level: object) -> bool:
    """Whether a log message of that severity is for this client; an unknown one is for nobody."""
    return (
        client.log_level in LEVELS
        and level in LEVELS
        and LEVELS.index(str(level)) >= LEVELS.index(client.log_level)
    )


def entry(params: str) -> str:
    """A log message's parameters, cut where they are too large to pass on."""
    size = len(params.encode())
    if size <= LARGEST_ENTRY:
        return params
    told = json.loads(params)
    data = told.get("data")
    text = data if isinstance(data, str) else _compact(data)
    kept = text.encode()[: LARGEST_ENTRY // 2].decode(errors="ignore")
    short = {"level": told.get("level"), "data": kept + CUT.format(size)}
    return _compact(short)


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
