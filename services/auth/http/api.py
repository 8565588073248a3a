"""`/v1`: agents, keys, issuers, revocations, delegations; paths relative to `/auth`."""

from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from interlock.contracts.access import AgentRecord, IssuerRecord
from interlock.contracts.task import Principal, PrincipalKind
from interlock.errors import Refused, Unavailable
from interlock.identity.asgi import answered, authenticate
from interlock.identity.roles import RIGHTS, Right
from interlock.identity.tokens import Caller, Tokens
from interlock.runtime.bodies import body
from interlock.runtime.pages import takes
from interlock.runtime.relay import Relay
from interlock.state.port import AGENTS, API_KEYS, ISSUERS, REVOCATIONS, Kind
from services.auth import decide
from services.auth.handlers import Access, Asking, Delegations, Issuers, Issuing, NewKey
from services.auth.http import bodies
from services.auth.http.bodies import NOWHERE, public, shown
from services.auth.http.listing import allowed, paged, require_default
from services.auth.store import Store


@dataclass(frozen=True)
class Api:
    """The endpoints. A change is answered once every other service can see it."""

    store: Store
    access: Access
    issuers: Issuers
    issuing: Issuing | None
    delegations: Delegations
    relay: Relay
    tokens: Tokens

    async def whoami(self, request: Request) -> Response:
        """Who the token says is calling, and what that caller may do at doors."""
        caller = await authenticate(request, self.tokens)
        rights = {right for role in caller.roles for right in RIGHTS.get(role, ())}
        return JSONResponse(
            {
                "principal": caller.principal.model_dump(mode="json"),
                "label": caller.principal.label,
                "token_scopes": list(caller.token_scopes),
                "roles": list(caller.roles),
                "groups": list(caller.groups),
                "rights": sorted(rights),
                "token_id": caller.token_id,
                "how": caller.how,
                "issuer": caller.issuer,
                "expires_at": shown(caller.expires_at),
            }
        )

    # -- agents ---------------------------------------------------------------------------------

    async def list_agents(self, request: Request) -> Response:
        return await self._list(request, AGENTS, "agents")

    @takes(bodies.NewAgent)
    async def create_agent(self, request: Request) -> Response:
        caller = await self._caller(request, Right.AGENTS_WRITE)
        asked = await body(request, bodies.NewAgent)
        agent = _agent(caller, asked.name, asked)
        await self.access.register(agent, caller.principal, replace=False)
        await self.relay.flush()
        where = {"Location": f"/auth/v1/agents/{agent.name}"}
        return JSONResponse(public(agent), 201, where)

    async def show_agent(self, request: Request) -> Response:
        caller = await self._caller(request, Right.ACCESS_READ)
        name = request.path_params["name"]
        tenant = caller.principal.tenant
        agent = await self.store.read(lambda records: records.get(AGENTS, tenant, name))
        if agent is None:
            raise Refused(f"there is no agent `{name}`", code="not_found")
        return JSONResponse(public(agent))

    @takes(bodies.AgentBody)
    async def put_agent(self, request: Request) -> Response:
        """Register the agent as told, new or not; one that was disabled is enabled."""
        caller = await self._caller(request, Right.AGENTS_WRITE)
        name = bodies.named(request.path_params["name"])
        agent = _agent(caller, name, await body(request, bodies.AgentBody))
        await self.access.register(agent, caller.principal, replace=True)
        await self.relay.flush()
        return JSONResponse(public(agent))

    async def disable_agent(self, request: Request) -> Response:
        caller = await self._caller(request, Right.AGENTS_WRITE)
        who = caller.principal
        await self.access.disable(who.tenant, request.path_params["name"], who)
        await self.relay.flush()
        return Response(status_code=204)

    @takes(bodies.NewPublicKey)
    async def add_public_key(self, request: Request) -> Response:
        """Let a key sign for the agent on the bus, and at the token endpoint."""
        caller = await self._caller(request, Right.AGENTS_WRITE)
        who, asked = caller.principal, await body(request, bodies.NewPublicKey)
        jwk = bodies.jwk(asked.public_key)
        agent, key = await self.access.add_public_key(
            who.tenant, request.path_params["name"], jwk, who
        )
        await self.relay.flush()
        return JSONResponse(public(agent) | {"key": key}, 201)

    # -- API keys -------------------------------------------------------------------------------

    async def list_keys(self, request: Request) -> Response:
        return await self._list(request, API_KEYS, "keys")

    @takes(bodies.NewApiKey)
    async def create_key(self, request: Request) -> Response:
        """The only answer that ever holds the key's text: so it is given, as 202, even where the
        key could not be published yet."""
        caller = await self._caller(request, Right.KEYS_WRITE)
        asked = await body(request, bodies.NewApiKey)
        kind = PrincipalKind.AGENT if asked.agent else PrincipalKind.PERSON
        principal = Principal(
            tenant=caller.principal.tenant,
            kind=kind,
            name=asked.agent or asked.person or "",
            user=asked.user,
        )
        new = NewKey(principal, asked.token_scopes, asked.roles, asked.expires_at)
        record, text = await self.access.create_key(new, caller.principal, caller.roles)
        status = 201
        try:
            await self.relay.flush()
        except Unavailable:
            status = 202
        return JSONResponse(public(record) | {"key": text}, status, NOWHERE)

    async def revoke_key(self, request: Request) -> Response:
        caller = await self._caller(request, Right.KEYS_WRITE)
        who = caller.principal
        await self.access.revoke_key(who.tenant, request.path_params["id"], who)
        await self.relay.flush()
        return Response(status_code=204)

    # -- issuers --------------------------------------------------------------------------------

    async def list_issuers(self, request: Request) -> Response:
        return await self._list(request, ISSUERS, "issuers")

    @takes(bodies.NewIssuer)
    async def trust_issuer(self, request: Request) -> Response:
        caller = await self._caller(request, Right.ISSUERS_WRITE)
        asked = await body(request, bodies.NewIssuer)
        told = asked.model_dump(exclude={"introspection"})
        record = IssuerRecord(tenant=caller.principal.tenant, jwks="", **told)
        if self.issuing is not None and asked.issuer == self.issuing.issuer:
            raise Refused(f"issuer `{asked.issuer}` is our own", code="conflict")
        how = asked.introspection
        if how is not None:
            decide.require_may_introspect(record.tenant, how.tokens)
            secret = how.client_secret.get_secret_value()
            asking = Asking(how.client_id, secret, every=how.tokens == "every")
            record = await self.issuers.introspecting(record, asking)
        found = await self.issuers.trust(record, caller.principal)
        await self.relay.flush()
        return JSONResponse(public(found), 201)

    async def distrust_issuer(self, request: Request) -> Response:
        caller = await self._caller(request, Right.ISSUERS_WRITE)
        who = caller.principal
        await self.issuers.distrust(who.tenant, request.query_params.get("issuer", ""), who)
        await self.relay.flush()
        return Response(status_code=204)

    async def rotate(self, request: Request) -> Response:
        """A new signing key for the embedded issuer, which is every tenant's."""
        caller = await self._caller(request, Right.ISSUERS_WRITE)
        require_default(caller)
        if self.issuing is None:
            raise Refused(
                "the embedded issuer is off; set `INTERLOCK_AUTH_ISSUER`", code="conflict"
            )
        kid = await self.issuing.rotate(caller.principal)
        await self.relay.flush()
        return JSONResponse({"kid": kid}, 201)

    # -- revocations, delegations ---------------------------------------------------------------

    async def list_revocations(self, request: Request) -> Response:
        return await self._list(request, REVOCATIONS, "revocations")

    @takes(bodies.NewRevocation)
    async def revoke(self, request: Request) -> Response:
        caller = await self._caller(request, Right.REVOKE)
        asked = await body(request, bodies.NewRevocation)
        who = caller.principal
        record = await self.access.revoke(who.tenant, (asked.kind, asked.name), asked.reason, who)
        await self.relay.flush()
        return JSONResponse(record.model_dump(mode="json"), 201)

    @takes(bodies.NewDelegation)
    async def delegate(self, request: Request) -> Response:
        """Auth's statement that an agent's key may act for a user on the bus."""
        caller = await authenticate(request, self.tokens)
        asked = await body(request, bodies.NewDelegation)
        statement, ends = await self.delegations.make(caller, asked.agent, asked.user, asked.key)
        return JSONResponse({"delegation": statement, "expires_at": shown(ends)}, 201, NOWHERE)

    # -- shared ---------------------------------------------------------------------------------

    async def _caller(self, request: Request, right: Right) -> Caller:
        return await allowed(request, self.tokens, right)

    async def _list(self, request: Request, kind: Kind[Any], name: str) -> Response:
        caller = await self._caller(request, Right.ACCESS_READ)
        tenant = caller.principal.tenant
        found = await self.store.read(lambda records: records.of(kind, tenant))
        return paged(request, name, found, public)


def _agent(caller: Caller, name: str, asked: bodies.AgentBody) -> AgentRecord:
    return AgentRecord(
        tenant=caller.principal.tenant,
        name=name,
        description=asked.description,
        public_keys=tuple(map(bodies.jwk, asked.public_keys)),
        may_act_for=asked.may_act_for,
        token_scopes=asked.token_scopes,
        client_id=asked.client_id,
    )


def api_routes(api: Api) -> list[Route]:
    """The routes of `/v1`."""
    table = (
        ("GET", "/v1/whoami", api.whoami),
        ("GET", "/v1/agents", api.list_agents),
        ("POST", "/v1/agents", api.create_agent),
        ("GET", "/v1/agents/{name}", api.show_agent),
        ("PUT", "/v1/agents/{name}", api.put_agent),
        ("DELETE", "/v1/agents/{name}", api.disable_agent),
        ("POST", "/v1/agents/{name}/keys", api.add_public_key),
        ("GET", "/v1/keys", api.list_keys),
        ("POST", "/v1/keys", api.create_key),
        ("DELETE", "/v1/keys/{id}", api.revoke_key),
        ("GET", "/v1/issuers", api.list_issuers),
        ("POST", "/v1/issuers", api.trust_issuer),
        ("DELETE", "/v1/issuers", api.distrust_issuer),
        ("POST", "/v1/signing-keys/rotate", api.rotate),
        ("GET", "/v1/revocations", api.list_revocations),
        ("POST", "/v1/revocations", api.revoke),
        ("POST", "/v1/delegations", api.delegate),
    )
    return [Route(path, answered(endpoint), methods=[method]) for method, path, endpoint in table]
