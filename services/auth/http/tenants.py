"""`/v1/tenants`, for administrators of tenant `default`; paths relative to `/auth`."""

from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from interlock.identity.asgi import answered
from interlock.identity.roles import Right
from interlock.identity.tokens import Caller, Tokens
from interlock.runtime.bodies import body
from interlock.runtime.pages import takes
from interlock.runtime.relay import Relay
from services.auth.handlers import Access, Tenants
from services.auth.http import bodies
from services.auth.http.bodies import NOWHERE, public, shown
from services.auth.http.listing import allowed, paged, require_default
from services.auth.model import Tenant


@dataclass(frozen=True)
class TenantsApi:
    """The endpoints."""

    tenants: Tenants
    access: Access
    relay: Relay
    tokens: Tokens

    async def list_tenants(self, request: Request) -> Response:
        await self._caller(request)
        found = {tenant.name: tenant for tenant in await self.tenants.all()}
        return paged(request, "tenants", found, _shown)

    @takes(bodies.NewTenant)
    async def create_tenant(self, request: Request) -> Response:
        """A tenant and its first administrator's key, which is shown here only."""
        caller = await self._caller(request)
        asked = await body(request, bodies.NewTenant)
        record, text = await self.access.create_tenant(asked.name, caller.principal)
        await self.relay.flush()
        return JSONResponse(public(record) | {"key": text}, 201, NOWHERE)

    async def show_tenant(self, request: Request) -> Response:
        await self._caller(request)
        return JSONResponse(_shown(await self.tenants.show(request.path_params["name"])))

    @takes(bodies.Reason)
    async def disable_tenant(self, request: Request) -> Response:
        """Let nobody of the tenant in until it is enabled again, everywhere within a second."""
        caller = await self._caller(request)
        asked = await body(request, bodies.Reason)
        await self.tenants.disable(request.path_params["name"], asked.reason, caller.principal)
        await self.relay.flush()
        return Response(status_code=204)

    async def enable_tenant(self, request: Request) -> Response:
        """Let in again who was let in before."""
        caller = await self._caller(request)
        await self.tenants.enable(request.path_params["name"], caller.principal)
        await self.relay.flush()
        return Response(status_code=204)

    async def _caller(self, request: Request) -> Caller:
        caller = await allowed(request, self.tokens, Right.TENANTS_WRITE)
        require_default(caller)
        return caller


def _shown(tenant: Tenant) -> dict[str, Any]:
    return {
        "name": tenant.name,
        "enabled": tenant.disabled_at is None,
        "created_at": shown(tenant.created_at),
        "disabled_at": shown(tenant.disabled_at),
    }


def tenant_routes(api: TenantsApi) -> list[Route]:
    """The routes of `/v1/tenants`."""
    table = (
        ("GET", "/v1/tenants", api.list_tenants),
        ("POST", "/v1/tenants", api.create_tenant),
        ("GET", "/v1/tenants/{name}", api.show_tenant),
        ("POST", "/v1/tenants/{name}/disable", api.disable_tenant),
        ("POST", "/v1/tenants/{name}/enable", api.enable_tenant),
    )
    return [Route(path, answered(endpoint), methods=[method]) for method, path, endpoint in table]
