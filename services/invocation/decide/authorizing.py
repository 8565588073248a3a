"""The rules of being let in by an upstream: whom a secret may be shown, and what a refusal asks."""

import re
from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from services.invocation.model import Challenge

INSUFFICIENT = "insufficient_scope"
LOGIN_SECONDS = 600.0
"""For a person to consent."""
EARLY_SECONDS = 10.0
"""Before its end a token is replaced, so that it does not end on the way."""
_ERROR = re.compile(r"[a-z0-9_.-]{1,64}", re.IGNORECASE)


def challenge(status: int | None, told: str | None) -> Challenge | None:
    """What a refused call asks for; None where another token would not help."""
    if status == 401 or (status == 403 and field(told, "error") == INSUFFICIENT):
        return Challenge(status, told or "")
    return None


def field(told: str | None, name: str) -> str | None:
    """A parameter of a `WWW-Authenticate` header (RFC 9110 §11.6.1)."""
    found = re.search(rf'(?:^|[\s,]){name}=(?:"([^"]*)"|([^\s,]+))', told or "")
    return (found[1] or found[2]) if found else None


def unfit_url(url: str, upstream: str, *, secret: bool) -> str | None:
    """Why a request to let us in may not go to `url`; None if it may.

    Only TLS keeps what it carries. On the machine itself, and for what says nothing secret at the
    upstream's own origin, plain HTTP will do.
    """
    parts = urlsplit(url)
    if parts.username or parts.password or not parts.hostname:
        return f"`{shown(url)}` is no plain URL"
    if parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(parts.hostname)):
        return None
    if not secret and parts.scheme == "http" and origin(url) == origin(upstream):
        return None
    return f"`{shown(url)}` is not `https`, and so cannot be trusted with it"


def unfit_redirect(url: str) -> str | None:
    """Why a person may not be sent back to `url` (RFC 8252 §7.3); None if they may."""
    parts = urlsplit(url)
    if parts.scheme == "http" and _is_loopback(parts.hostname or "") and not parts.fragment:
        return None
    return f"`{shown(url)}` is no address of the machine itself, as `http://127.0.0.1:8765/` is"


def shown(url: str) -> str:
    """A URL without what may be secret in it."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=host, query="", fragment="").geturl()


def origin(url: str) -> tuple[str, str]:
    """Scheme and authority."""
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.lower()


def error_code(body: object) -> str:
    """The error that an authorization server names (RFC 6749 §5.2), as far as it can be shown."""
    said = body.get("error") if isinstance(body, Mapping) else None
    return said if isinstance(said, str) and _ERROR.fullmatch(said) else "no reason"


def ends_soon(expires_at: float | None, now: float) -> bool:
    """Whether a token is not worth a try."""
    return expires_at is not None and expires_at - EARLY_SECONDS <= now


def login_hint(server: str) -> str:
    """What is to be done by a person."""
    return f"let it in with `interlock server login {server}`"


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
