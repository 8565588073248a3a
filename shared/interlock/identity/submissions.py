"""What an agent signs for a task that it submits on the bus (DESIGN §6), instead of a token."""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from joserfc.jwk import OKPKey
from joserfc.registry import Header

from interlock.contracts.ids import Digest
from interlock.contracts.requests import TaskSubmitted
from interlock.contracts.task import TaskKind, digest_of, request_digest
from interlock.errors import Refused
from interlock.identity import jose
from interlock.identity.jose import Claims, Unproven
from interlock.identity.statements import Signer

SUBMISSION = "interlock-submission+jwt"
AUDIENCE = "interlock"
"""The suite's public id."""


@dataclass(frozen=True)
class Request:
    """What an agent asks for; `delegation` is auth's statement for the user it acts for."""

    client_ref: str
    server: str
    tool: str | None
    arguments: str
    deadline: datetime
    kind: TaskKind = TaskKind.CALL
    delegation: str | None = None


@dataclass(frozen=True)
class AgentKey:
    """An agent's identity on the bus: its tenant, its name and its private Ed25519 key."""

    tenant: str
    signer: Signer

    @classmethod
    def of(cls, tenant: str, agent: str, jwk: Mapping[str, str | list[str]]) -> "AgentKey":
        """From a private JWK; raises joserfc's errors where it is none."""
        return cls(tenant, Signer.of(agent, OKPKey.import_key(dict(jwk))))

    def submit(self, request: Request, now: datetime) -> TaskSubmitted:
        """The message for `task.submitted`, signed."""
        unsigned = TaskSubmitted(
            tenant=self.tenant,
            agent=self.signer.service,
            client_ref=request.client_ref,
            kind=request.kind,
            server=request.server,
            tool=request.tool,
            arguments=request.arguments,
            deadline=request.deadline,
            statement="",
            delegation=request.delegation,
        )
        claims = {**_claims(unsigned), "iat": now.timestamp()}
        return unsigned.model_copy(update={"statement": self.signer.sign(SUBMISSION, claims)})


def verify_submission(submission: TaskSubmitted, public_keys: Iterable[str]) -> str:
    """Which of the agent's keys (its thumbprint, RFC 7638) signed exactly this submission.

    Raises `Refused` (`bad_signature`) if none did.
    """
    keys = dict(map(_key, public_keys))
    try:
        used = _used(jose.header_of(submission.statement), keys)
        claims = jose.proven(submission.statement, keys[used])
    except Unproven as error:
        raise _bad(submission, str(error)) from None
    for name, value in _claims(submission).items():
        if name not in claims or claims[name] != value:
            raise _bad(submission, f"it and the submission differ in `{name}`")
    return used


def requested(submission: TaskSubmitted) -> Digest:
    """The digest of the request (`request_digest`)."""
    return request_digest(submission.kind, submission.server, submission.tool, submission.arguments)


def _used(header: Header, keys: Container[str]) -> str:
    if header.get("typ") != SUBMISSION:
        raise Unproven(f"it is no `{SUBMISSION}`")
    used = str(header.get("kid", "")).rpartition(":")[2]
    if used not in keys:
        raise Unproven("its key is not registered")
    return used


def _claims(submission: TaskSubmitted) -> Claims:
    """All that the signature must cover. `delegation` is the digest of auth's statement."""
    return {
        "tenant": submission.tenant,
        "iss": submission.agent,
        "aud": AUDIENCE,
        "client_ref": submission.client_ref,
        "request_digest": requested(submission),
        "deadline": submission.deadline.timestamp(),
        "delegation": digest_of(submission.delegation) if submission.delegation else None,
    }


@lru_cache(maxsize=4096)
def _key(jwk: str) -> tuple[str, jose.AsymmetricKey]:
    """With its thumbprint."""
    key = jose.public_key(jwk)
    return key.thumbprint(), key


def _bad(submission: TaskSubmitted, why: str) -> Refused:
    return Refused(
        f"the statement of agent `{submission.agent}` is not believed: {why}", code="bad_signature"
    )
