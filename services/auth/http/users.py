"""`/v1/users`: people whom the tenant knows; paths relative to `/auth`."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from interlock.identity.asgi import answered
from interlock.identity.roles import Right
from interlock.identity.tokens import Tokens
from interlock.runtime.bodies import body, invalid
from interlock.runtime.pages import takes
from interlock.runtime.relay import Relay
from services.auth.handlers import Known, Told, Users
from services.auth.http import bodies
from services.auth.http.bodies import shown
from services.auth.http.listing import allowed, paged
from services.auth.model import Identity


@dataclass(frozen=True)
class UsersApi:
    """The endpoints. A change is answered once every other service can see it."""

    users: Users
    relay: Relay
    tokens: Tokens

    async def list_users(self, request: Request) -> Response:
        caller = await allowed(request, self.tokens, Right.ACCESS_READ)
        found = await self.users.all(caller.principal.tenant)
        return paged(request, "users", found, _listed)

    @takes(bodies.NewUser)
    async def create_user(self, request: Request) -> Response:
        caller = await allowed(request, self.tokens, Right.USERS_WRITE)
        asked = await body(request, bodies.NewUser)
        identities = tuple(sorted({_identity(one) for one in asked.identities}))
        told = Told(asked.display_name, asked.email, asked.roles, identities)
        known = await self.users.add(asked.name, told, caller)
        await self.relay.flush()
        where = {"Location": f"/auth/v1/users/{quote(asked.name)}"}
        return JSONResponse(_shown(known), 201, where)

    async def show_user(self, request: Request) -> Response:
        """A user with its identities, the agents that may act for it, and its keys' ids."""
        caller = await allowed(request, self.tokens, Right.ACCESS_READ)
        known = await self.users.show(caller.principal.tenant, request.path_params["name"])
        return JSONResponse(_shown(known))

    @takes(bodies.UserBody)
    async def change_user(self, request: Request) -> Response:
        """Change what is told of a user, or its roles; what is left out stays as it is."""
        caller = await allowed(request, self.tokens, Right.USERS_WRITE)
        asked = await body(request, bodies.UserBody)
        told = Told(asked.display_name, asked.email, asked.roles)
        known = await self.users.change(request.path_params["name"], told, caller)
        await self.relay.flush()
        return JSONResponse(_shown(known))

    async def erase_user(self, request: Request) -> Response:
        """End a user, its keys and links, and forget what was told of it. Its name stays taken."""
        caller = await allowed(request, self.tokens, Right.USERS_WRITE)
        await self.users.erase(request.path_params["name"], caller)
        await self.relay.flush()
        return Response(status_code=204)

    async def disable_user(self, request: Request) -> Response:
        """End all access of a user, everywhere within a second."""
        caller = await allowed(request, self.tokens, Right.USERS_WRITE)
        await self.users.disable(request.path_params["name"], caller)
        await self.relay.flush()
        return Response(status_code=204)

    async def enable_user(self, request: Request) -> Response:
        """Let a user sign in again. Keys and tokens of before stay refused."""
        caller = await allowed(request, self.tokens, Right.USERS_WRITE)
        await self.users.enable(request.path_params["name"], caller)
        await self.relay.flush()
        return Response(status_code=204)

    @takes(bodies.Identity)
    async def link(self, request: Request) -> Response:
        """Let whom an issuer calls `subject` sign in as the user."""
        caller = await allowed(request, self.tokens, Right.USERS_WRITE)
        identity = _identity(await body(request, bodies.Identity))
        known = await self.users.link(request.path_params["name"], identity, caller)
        await self.relay.flush()
        return JSONResponse(_shown(known), 201)

    async def unlink(self, request: Request) -> Response:
        """The query's `issuer` and `subject` sign in as the user no longer."""
        caller = await allowed(request, self.tokens, Right.USERS_WRITE)
        try:
            asked = bodies.Identity.model_validate(dict(request.query_params))
        except ValidationError as error:
            raise invalid(error) from None
        await self.users.unlink(request.path_params["name"], _identity(asked), caller)
        await self.relay.flush()
        return Response(status_code=204)

    async def let_act(self, request: Request) -> Response:
        """Let an agent act for the user (PUT), or no longer (DELETE)."""
        caller = await allowed(request, self.tokens, Right.AGENTS_WRITE)
        name, agent = request.path_params["name"], request.path_params["agent"]
        await self.users.let_act(name, agent, request.method == "PUT", caller)
        await self.relay.flush()
        return Response(status_code=204)


def _identity(asked: bodies.Identity) -> Identity:
    return Identity(asked.issuer, asked.subject)


def _listed(known: Known) -> dict[str, Any]:
    person, record = known.person, known.record
    return {
        "name": record.name,
        "display_name": person.display_name,
        "email": person.email,
        "enabled": record.enabled,
        "roles": list(record.roles),
        "identities": [{"issuer": one.issuer, "subject": one.subject} for one in person.identities],
        "created_at": shown(person.created_at),
    }


def _shown(known: Known) -> dict[str, Any]:
    more: dict[str, Any] = {"agents": list(known.agents), "keys": list(known.keys)}
    if known.person.erased_at is not None:
        more["erased_at"] = shown(known.person.erased_at)
    return {"tenant": known.record.tenant, **_listed(known), **more}


def user_routes(api: UsersApi) -> list[Route]:
    """The routes of `/v1/users`."""
    table = (
        ("GET", "/v1/users", api.list_users),
        ("POST", "/v1/users", api.create_user),
        ("GET", "/v1/users/{name}", api.show_user),
        ("PATCH", "/v1/users/{name}", api.change_user),
        ("DELETE", "/v1/users/{name}", api.erase_user),
        ("POST", "/v1/users/{name}/disable", api.disable_user),
        ("POST", "/v1/users/{name}/enable", api.enable_user),
        ("POST", "/v1/users/{name}/identities", api.link),
        ("DELETE", "/v1/users/{name}/identities", api.unlink),
        ("PUT", "/v1/users/{name}/agents/{agent}", api.let_act),
        ("DELETE", "/v1/users/{name}/agents/{agent}", api.let_act),
    )
    return [Route(path, answered(endpoint), methods=[method]) for method, path, endpoint in table]
