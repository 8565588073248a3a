"""The token endpoint: who a client proves to be, and what its tokens say."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from math import inf
from typing import Any
from urllib.parse import urlsplit

from interlock.contracts.access import AgentRecord, IssuerRecord
from interlock.errors import Refused
from interlock.identity import caller
from interlock.identity.caller import LEEWAY
from interlock.identity.jose import Claims
from services.auth.model import SigningKey

LONGEST_ASSERTION = timedelta(minutes=5)


def scopes_to_issue(asked: str | None, allowed: Sequence[str]) -> tuple[str, ...]:
    """What a token says: of what was asked all that is allowed (RFC 6749 §3.3).

    `Refused` (`invalid_scope`) where nothing of it is: clients ask for all that a resource knows.
    """
    if not asked or not asked.split():
        return tuple(allowed)
    granted = tuple(scope for scope in dict.fromkeys(asked.split()) if scope in allowed)
    if not granted:
        raise Refused(
            f"none of the scopes `{asked}` is given to this client; it has "
            f"{', '.join(f'`{scope}`' for scope in allowed) or 'none'}",
            code="invalid_scope",
        )
    return granted


def resources_to_issue(
    asked: Sequence[str], ours: str, granted: Sequence[str] = ()
) -> tuple[str, ...]:
    """The audiences of a token (RFC 8707 §2): the suite's edge, or parts of it; no others than
    those that a grant names."""
    wanted = tuple(dict.fromkeys(one.rstrip("/") for one in asked or granted)) or (ours,)
    allowed = {one.rstrip("/") for one in granted}
    for one in wanted:
        if allowed and one not in allowed:
            raise Refused(f"the assertion is not for resource `{one}`", code="invalid_target")
        if "#" in one or not (one == ours or one.startswith(f"{ours}/")):
            raise Refused(f"resource `{one}` is not part of `{ours}`", code="invalid_target")
    return wanted


def require_assertion(
    claims: Claims, client_id: str, audiences: Collection[str], now: datetime
) -> None:
    """`Refused` unless a client's assertion is its own, for us and short-lived (RFC 7523 §3)."""
    ends = claims.get("exp")
    if not claims.get("iss") == claims.get("sub") == client_id:
        raise Refused("`iss` and `sub` of the assertion are not the client", code="invalid_client")
    if not {*caller.audiences(claims)} & {*audiences}:
        raise Refused("the assertion is not for this issuer", code="invalid_client")
    left = ends - now.timestamp() if isinstance(ends, int | float) else -inf
    leeway = LEEWAY.total_seconds()
    if not -leeway < left <= LONGEST_ASSERTION.total_seconds() + leeway:
        raise Refused(
            f"`exp` of the assertion is not within `{LONGEST_ASSERTION}`", code="invalid_client"
        )


def client_ids(agent: AgentRecord) -> tuple[str, ...]:
    """What an agent may call itself at the token endpoint. A bare name is enough where the agent
    proves itself with more than its name."""
    named = (f"{agent.tenant}/{agent.name}", agent.name)
    return named if agent.client_id is None else (*named, agent.client_id)


def remembered_until(claims: Claims, code: str) -> datetime:
    """How long an assertion must be known again; `Refused` (`code`) where it has no `jti`."""
    jti = claims.get("jti")
    if not isinstance(jti, str) or not 0 < len(jti) <= 255:
        raise Refused("the assertion has no `jti`, which makes it good once", code=code)
    return datetime.fromtimestamp(claims["exp"], UTC) + 2 * LEEWAY


def require_id_jag(claims: Claims, client_ids: Collection[str], issuer: str, now: datetime) -> None:
    """`Refused` unless an ID-JAG is for this client, for us alone, and in time."""
    if caller.audiences(claims) != (issuer,):
        raise Refused(f"the assertion is not for `{issuer}`", code="invalid_grant")
    if claims.get("client_id") not in client_ids:
        raise Refused("the assertion is for another client", code="invalid_grant")
    issued, _ = caller.times(claims, now)
    if issued is None:
        raise Refused("the assertion has no `iat`", code="invalid_grant")
    remembered_until(claims, "invalid_grant")


def user_of(claims: Claims, record: IssuerRecord) -> str:
    """Whom an ID-JAG names, in the claim that names people in this issuer's tokens."""
    user = claims.get(record.user_claim)
    if not isinstance(user, str) or not 0 < len(user) <= 255:
        raise Refused(f"the assertion names nobody in `{record.user_claim}`", code="invalid_grant")
    return user


def scopes_of_grant(claims: Claims, allowed: Sequence[str]) -> tuple[str, ...]:
    """What both an ID-JAG and the client's own credential let the client say.

    `Refused` (`invalid_scope`) where that is nothing, for a token without scopes is unrestricted.
    """
    granted = caller.token_scopes(claims)
    both = tuple(scope for scope in granted if scope in allowed) if allowed else granted
    if granted and not both:
        raise Refused("no scope of the assertion is given to this client", code="invalid_scope")
    return both or tuple(allowed)


def resources_of_grant(claims: Claims) -> tuple[str, ...]:
    """The resources that an ID-JAG names (RFC 8707)."""
    return caller.audiences({"aud": claims.get("resource")})


def require_client_document(document: Mapping[str, Any], url: str) -> None:
    """`Refused` unless a Client ID Metadata Document is `url`'s own, of a client that signs."""
    if document.get("client_id") != url:
        raise Refused(f"the document at `{url}` is not its own `client_id`", code="invalid_client")
    method = document.get("token_endpoint_auth_method")
    if method != "private_key_jwt" or "client_secret" in document:
        raise Refused(
            f"the document at `{url}` must say `private_key_jwt`, and hold no secret",
            code="invalid_client",
        )


def require_client_url(url: str, private: bool) -> None:
    """`Refused` (`invalid`) unless a URL may stand for a client (its §3)."""
    try:
        parts = urlsplit(url)
        plain = bool(parts.hostname) and parts.username is None and "#" not in url
    except ValueError:
        plain = False
    schemes = ("https", "http") if private else ("https",)
    if not plain or parts.scheme not in schemes or not _proper(parts.path):
        raise Refused(
            f"`{url}` is no `client_id`: it is an `https` URL with a path and no fragment",
            code="invalid",
        )


def _proper(path: str) -> bool:
    return len(path) > 1 and not {".", ".."} & {*path.split("/")}


def signs(keys: Sequence[SigningKey]) -> SigningKey | None:
    """The key that signs now: the newest that was not replaced."""
    current = [key for key in keys if key.published_until is None]
    return max(current, key=lambda key: (key.created_at, key.kid), default=None)


def to_forget(keys: Sequence[SigningKey], now: datetime) -> list[SigningKey]:
    """Keys of which no token can be good any more."""
    return [key for key in keys if key.published_until is not None and key.published_until <= now]
