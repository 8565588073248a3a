"""What auth's endpoints share: who may call them, and lists in pages."""

from collections.abc import Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from interlock.errors import Refused
from interlock.identity.asgi import authenticate
from interlock.identity.roles import DEFAULT_TENANT, Right, require
from interlock.identity.tokens import Caller, Tokens
from services.auth.http.bodies import page


async def allowed(request: Request, tokens: Tokens, right: Right) -> Caller:
    """Who calls; `Refused` without `right`."""
    caller = await authenticate(request, tokens)
    require(caller, right)
    return caller


def require_default(caller: Caller) -> None:
    """`Refused` for people of any tenant but the one that runs the suite."""
    if caller.principal.tenant != DEFAULT_TENANT:
        raise Refused(
            f"only administrators of tenant `{DEFAULT_TENANT}` may do this", code="forbidden"
        )


def paged(
    request: Request, name: str, found: Mapping[str, Any], shown: Callable[[Any], Any]
) -> Response:
    """The page of `found` that the query asks for, in order of fields."""
    asked = page(request)
    after = [field for field in sorted(found) if field > asked.after]
    listed = after[: asked.limit]
    return JSONResponse(
        {
            name: [shown(found[field]) for field in listed],
            "next": listed[-1] if len(after) > len(listed) else None,
        }
    )
