"""Judging: a total function of the policies and the question."""

import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import NamedTuple

import orjson
from cedarpy import Decision, is_authorized

from interlock.contracts.catalogue import ServerRecord, ToolRecord
from interlock.contracts.ids import PolicyId
from interlock.contracts.task import TaskKind
from interlock.policy.arguments import Unrepresentable, arguments_for_cedar
from interlock.policy.loaded import Answer, LoadedPolicies, entity_type
from interlock.policy.model import Asker, Judgement, Question, Rule, Verdict
from interlock.policy.targets import Target, target_of

ERRING = re.compile(r"while evaluating policy `([^`]+)`")
LONGEST = 300
SURELY_TAKEN = 32
"""Cedar takes JSON of at most 128 levels."""


class _Asked(NamedTuple):
    """A question's target and context in Cedar's terms."""

    target: Target
    context: str
    """Members of a JSON object, each with a comma before it."""


def _answer(loaded: LoadedPolicies, question: Question, asked: _Asked, *, approved: bool) -> Answer:
    """What Cedar says; what it said before of the same request is not asked again."""
    context = f'{{"approved":{"true" if approved else "false"}{asked.context}}}'
    parties = loaded.parties(question, asked.target)
    known = parties.answers.get((question.kind, context))
    if known is not None:
        return known
    request = _request(question, asked.target) | {"context": context}
    result = is_authorized(request, loaded.policies, parties.entities)
    answer = Answer(
        allowed=result.allowed,
        representable=result.decision is not Decision.NoDecision,
        because=tuple(sorted(PolicyId(one) for one in result.diagnostics.reasons)),
        errors=tuple(result.diagnostics.errors),
    )
    parties.remember(question.kind, context, answer)
    return answer


def judge(loaded: LoadedPolicies, question: Question) -> Judgement:
    """Deny unless a policy permits; one forbid outweighs every permit; an error anywhere denies.

    What only `context.approved` keeps from running is held, unless a person approved it before.
    """
    try:
        asked = _Asked(target_of(question), _context(loaded, question))
    except Unrepresentable as error:
        return _denial(loaded, "unrepresentable", str(error))
    plain = _answer(loaded, question, asked, approved=question.approved)
    if plain.allowed and not plain.errors:
        return Judgement(Verdict.ALLOW, loaded.version, plain.because)
    approved = plain
    if not plain.errors and not question.approved:
        approved = _answer(loaded, question, asked, approved=True)
    if approved.errors:
        return _unsure(loaded, approved)
    if approved.allowed:
        return _hold(loaded, plain, approved)
    return _deny(loaded, question, asked.target, approved)


def may_see(
    loaded: LoadedPolicies, asker: Asker, server: ServerRecord, tool: ToolRecord, now: datetime
) -> bool:
    """Whether a list shows the tool: a call of it could be allowed or held. See `may_ask`."""
    return may_ask(loaded, Question(asker, TaskKind.CALL, server.name, server, tool, "{}", now))


def may_ask(loaded: LoadedPolicies, question: Question) -> bool:
    """Whether a list shows what the question is about: it could be allowed or held.

    Not all arguments are known yet. A rule that fails without them hides nothing from an asker
    whose permissions suffice; a permit that needs them shows nothing. Only policy decides.
    """
    judgement = judge(loaded, question)
    if judgement.code != "evaluation_error":
        return judgement.verdict is not Verdict.DENY
    server = question.server
    lacking = _lacking(_required(question), _all_given(loaded, question.asker))
    return server is not None and server.lifecycle.callable and not lacking


def _context(loaded: LoadedPolicies, question: Question) -> str:
    """What rules look at; and what Cedar itself might not take, though none looks at it."""
    members, looked_at = "", loaded.looked_at
    given = [("arguments", question.arguments)]
    if question.given is not None:
        given.append(("input", question.given))
    for name, text in given:
        value = _json(arguments_for_cedar(text))
        if name in looked_at or _depth(text) > SURELY_TAKEN:
            members += f',"{name}":{value}'
    if "tokenScopes" in looked_at:
        members += f',"tokenScopes":{_json(question.asker.token_scopes)}'
    if "now" in looked_at:
        moment = question.now.astimezone(UTC).replace(tzinfo=None)
        text = f"{moment.isoformat(timespec='milliseconds')}Z"
        members += ',"now":' + _json({"__extn": {"fn": "datetime", "arg": text}})
    return members


def _depth(text: str) -> int:
    """No JSON text is nested deeper."""
    return text.count("{") + text.count("[")


def _json(value: object) -> str:
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        raise Unrepresentable("the arguments hold text that is not Unicode, or too deep") from None


def _request(question: Question, target: Target) -> dict[str, object]:
    principal = question.asker.principal
    return {
        "principal": {"type": entity_type(principal.kind), "id": principal.name},
        "action": {"type": "Action", "id": question.kind.value},
        "resource": {"type": target.kind, "id": target.id},
    }


def _hold(loaded: LoadedPolicies, plain: Answer, approved: Answer) -> Judgement:
    """Forbids that an approval lifts, and permits that only an approval gives."""
    permits = [loaded.rules[one] for one in approved.because]
    given_by_approval = permits if all(one.asks_approval for one in permits) else []
    lifted = [loaded.rules[one] for one in plain.because]
    rules = sorted((*lifted, *given_by_approval), key=lambda rule: rule.id)
    approvers = _common([rule.approvers for rule in rules if rule.approvers])
    because = tuple(rule.id for rule in rules)
    if approvers is None:
        told = _names(because)
        reason = f"policies {told} hold the task and name no approver's role in common"
        return _denial(loaded, "no_common_approver", reason, because)
    times = [rule.hold_seconds for rule in rules if rule.hold_seconds is not None]
    return Judgement(
        Verdict.HOLD,
        loaded.version,
        because,
        reason=_reason(rules, "policy `{}` asks for a person's approval"),
        approvers=approvers,
        hold_seconds=min(times, default=None),
    )


def _common(roles: list[tuple[str, ...]]) -> tuple[str, ...] | None:
    """Roles that satisfy each rule; empty: any approver; None: there is none for all."""
    if not roles:
        return ()
    return tuple(sorted(set[str].intersection(*map(set, roles)))) or None


def _deny(loaded: LoadedPolicies, question: Question, target: Target, answer: Answer) -> Judgement:
    """`answer` is Cedar's under an approval, so that it names what no approval could change."""
    rules = [loaded.rules[one] for one in answer.because]
    if rules:
        reason = _reason(rules, "policy `{}` forbids it")
        return _denial(loaded, "denied", reason, answer.because)
    who, server = question.asker.principal.label, question.server
    if server is None or target.kind == "Server":
        reason = f"no policy permits `{who}` to {question.kind} server `{question.server_name}`"
        return _denial(loaded, "denied", reason)
    what = f"{target.kind.lower()} `{target.name[:LONGEST]}` of server `{server.name}`"
    if not server.lifecycle.callable:
        state = server.lifecycle
        return _denial(loaded, "denied", f"{what} cannot be called: the server is `{state}`")
    missing = _lacking(_required(question), _all_given(loaded, question.asker))
    if missing:
        noun = "permission" if len(missing) == 1 else "permissions"
        name = question.asker.principal.name
        reason = f"`{name}` lacks {noun} {_names(missing)}, which {what} requires"
        return _denial(loaded, "denied", reason, missing=missing)
    return _denial(loaded, "denied", f"no policy permits `{who}` to {question.kind} {what}")


def _required(question: Question) -> tuple[str, ...]:
    """All scopes that what is asked for requires: a tool adds its own to its server's."""
    server, tool = question.server, question.tool
    if server is None:
        return ()
    return server.required_scopes if tool is None else server.scopes_for(tool)


def _all_given(loaded: LoadedPolicies, asker: Asker) -> tuple[str, ...]:
    given = loaded.given(asker)
    return (*given.permissions, *given.with_approval)


def _unsure(loaded: LoadedPolicies, answer: Answer) -> Judgement:
    """Cedar skips a policy that errs, a forbid as well: so whatever it says then is no answer."""
    if not answer.representable:
        reason = f"Cedar cannot take the request: {answer.errors[0][:LONGEST]}"
        return _denial(loaded, "unrepresentable", reason)
    erring = {PolicyId(name) for text in answer.errors for name in ERRING.findall(text)}
    because = tuple(sorted(erring))
    reason = f"policy {_names(because)} could not be evaluated: {_what(answer.errors[0])}"
    denial = _denial(loaded, "evaluation_error", reason, because)
    return replace(denial, errors=answer.errors)


def _denial(
    loaded: LoadedPolicies,
    code: str,
    reason: str,
    because: tuple[PolicyId, ...] = (),
    missing: tuple[str, ...] = (),
) -> Judgement:
    return Judgement(
        Verdict.DENY, loaded.version, because, code=code, reason=reason, missing=missing
    )


def _what(error: str) -> str:
    return error.partition("`: ")[2][:LONGEST] or error[:LONGEST]


def _lacking(required: Iterable[str], given: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(required) - set(given)))


def _reason(rules: Iterable[Rule], otherwise: str) -> str:
    return "; ".join(dict.fromkeys(rule.reason or otherwise.format(rule.id) for rule in rules))


def _names(names: Iterable[str]) -> str:
    return " and ".join(f"`{name}`" for name in names)
