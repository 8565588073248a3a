"""Auth's own statement that a key of an agent may act for a user (DESIGN §6)."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog

from interlock.contracts.access import RevocationRecord
from interlock.contracts.requests import TaskSubmitted
from interlock.contracts.task import PrincipalKind
from interlock.errors import Forged, Refused
from interlock.identity.jose import Claims
from interlock.identity.roles import Right, require
from interlock.identity.statements import Signer, Trust
from interlock.identity.tokens import Caller
from interlock.state.port import AGENTS, USERS, View
from services.auth import decide
from services.auth.handlers.access import thumbprint
from services.auth.store import Store

log = structlog.get_logger()
DELEGATION = "interlock-delegation+jwt"


@dataclass(frozen=True)
class Delegations:
    """Makes delegations, and knows its own again."""

    store: Store
    signer: Signer
    trust: Trust
    revocations: View[RevocationRecord]
    now: Callable[[], datetime]
    longest: timedelta

    async def make(
        self, by: Caller, agent_name: str, user: str | None, key: str | None
    ) -> tuple[str, datetime]:
        """The statement and when it ends.

        People delegate for themselves; for others only who may change agents. `key` is the
        thumbprint of one of the agent's keys; it may be left out where there is only one.
        """
        person = by.principal.kind is PrincipalKind.PERSON
        acting_for = user or (by.principal.name if person else None)
        if acting_for is None:
            raise Refused("name the `user` for whom the agent shall act", code="invalid")
        if not (person and acting_for == by.principal.name):
            require(by, Right.AGENTS_WRITE)
        tenant = by.principal.tenant
        agent = decide.enabled(
            await self.store.read(lambda records: records.get(AGENTS, tenant, agent_name)),
            agent_name,
        )
        decide.require_may_act_for(agent, acting_for)
        decide.require_enabled(
            await self.store.read(lambda records: records.get(USERS, tenant, acting_for))
        )
        now = self.now()
        ends = now + self.longest
        statement = self.signer.sign(
            DELEGATION,
            {
                "iss": "auth",
                "tenant": tenant,
                "sub": acting_for,
                "act": {"sub": agent.name},
                "cnf": {"jkt": decide.key_to_bind([*map(thumbprint, agent.public_keys)], key)},
                "iat": now.timestamp(),
                "exp": ends.timestamp(),
            },
        )
        log.info("delegation.made", tenant=tenant, agent=agent.name, user=acting_for)
        return statement, ends

    def claims(self, submission: TaskSubmitted) -> Claims | None:
        """Of the submission's delegation, if it has one; `Refused` (`not_delegated`)."""
        if submission.delegation is None:
            return None
        try:
            claims = self.trust.verify(DELEGATION, submission.delegation, ("auth",))
        except Forged as error:
            raise Refused(
                f"the delegation is not ours: {error.detail}", code="not_delegated"
            ) from None
        made = datetime.fromtimestamp(claims["iat"], UTC)
        for field in (f"user:{claims['sub']}", f"agent:{claims['act']['sub']}"):
            revoked = self.revocations.get(claims["tenant"], field)
            if revoked and made < revoked.not_before:
                raise Refused(f"access of `{field}` was revoked", code="not_delegated")
        return claims
