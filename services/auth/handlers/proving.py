"""Who a client of the token endpoint proves to be, and for whom it asks.

An assertion is good once: what it was is remembered until it has ended (RFC 7523 §3, point 7).
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import orjson
from joserfc.jwk import Key
from joserfc.registry import Header

from interlock.contracts.access import AgentRecord, IssuerRecord
from interlock.contracts.task import Principal, PrincipalKind, digest_of
from interlock.errors import Refused
from interlock.identity import jose
from interlock.identity.caller import Caller
from interlock.identity.issuer import ID_JAG_TYPE
from interlock.identity.roles import DEFAULT_TENANT
from interlock.identity.tokens import Tokens, key_set
from interlock.state.port import AGENTS, ISSUERS, View
from services.auth import decide
from services.auth.handlers.documents import Documents
from services.auth.handlers.newcomers import Newcomers
from services.auth.model import Client
from services.auth.store import Store


@dataclass(frozen=True)
class Proving:
    """Believes clients. Raises `Refused`: `invalid_client`, `invalid_grant`."""

    store: Store
    agents: View[AgentRecord]
    tokens: Tokens
    documents: Documents
    refetch: Callable[[IssuerRecord], Awaitable[IssuerRecord]]
    """An issuer with its keys of this moment."""
    newcomers: Newcomers
    now: Callable[[], datetime]
    issuer: str

    async def by_secret(self, client_id: str, secret: str) -> Client:
        """The agent whose API key `secret` is."""
        try:
            caller = await self.tokens.verify(secret)
        except Refused as error:
            raise Refused(error.detail, code="invalid_client") from None
        who = caller.principal
        agent = self.agents.get(who.tenant, who.name)
        if caller.how != "key" or agent is None or client_id not in decide.client_ids(agent):
            raise Refused(
                "a client's secret is an API key of the agent that `client_id` names",
                code="invalid_client",
            )
        return Client(
            tenant=who.tenant,
            agent=who.name,
            user=who.user,
            token_scopes=caller.token_scopes,
            roles=caller.roles,
            bound_to=(f"key:{caller.token_id}",),
            expires_at=caller.expires_at,
        )

    async def by_assertion(self, assertion: str, named: str | None = None) -> Client:
        """The agent that signed `assertion` (RFC 7523) with a key of its own; `named` is what the
        request calls it, if it does.

        A `client_id` is the agent's name in tenant `default`, `<tenant>/<name>` in any, or the URL
        of its Client ID Metadata Document, which then says what its keys are.
        """
        try:
            client_id = _subject(assertion, named)
            agent = await self._agent(client_id)
            if client_id == agent.client_id:
                bound_to = f"client:{client_id}"
                claims = await self._by_document(assertion, client_id)
            else:
                claims, key = _by_registered(assertion, agent)
                bound_to = f"jwk:{key}"
        except jose.Unproven as error:
            why = f"the assertion is not believed: {error}"
            raise Refused(why, code="invalid_client") from None
        ours = (self.issuer, f"{self.issuer}/token")
        decide.require_assertion(claims, client_id, ours, self.now())
        await self._once(claims, "invalid_client")
        return Client(agent.tenant, agent.name, None, agent.token_scopes, (), (bound_to,))

    async def _agent(self, client_id: str) -> AgentRecord:
        if client_id.startswith(("https://", "http://")):
            agent = next(
                (
                    one
                    for tenant in self.agents.tenants()
                    for one in self.agents.of(tenant).values()
                    if one.client_id == client_id
                ),
                None,
            )
        else:
            tenant, _, name = client_id.rpartition("/")
            agent = await self.store.read(
                lambda records: records.get(AGENTS, tenant or DEFAULT_TENANT, name)
            )
        try:
            return decide.enabled(agent, client_id[:200])
        except Refused as error:
            raise Refused(error.detail, code="invalid_client") from None

    async def _by_document(self, assertion: str, url: str) -> jose.Claims:
        try:
            return _verified(assertion, key_set(await self._keys(url)))
        except jose.Unproven:  # perhaps the client has a new key
            return _verified(assertion, key_set(await self._keys(url, again=True)))

    async def _keys(self, url: str, *, again: bool = False) -> str:
        try:
            return await self.documents.keys(url, again=again)
        except Refused as error:
            raise Refused(error.detail, code="invalid_client") from None

    # -- identity assertions --------------------------------------------------------------------

    async def for_user(self, client: Client, assertion: str) -> Client:
        """The client acting for the user whom a trusted issuer names in an ID-JAG
        (draft-ietf-oauth-identity-assertion-authz-grant §4.4)."""
        try:
            claims, record = await self._id_jag(client, assertion)
        except jose.Unproven as error:
            why = f"the assertion is not believed: {error}"
            raise Refused(why, code="invalid_grant") from None
        agent = self.agents.get(client.tenant, client.agent)
        try:
            agent = decide.enabled(agent, client.agent)
            decide.require_id_jag(claims, decide.client_ids(agent), self.issuer, self.now())
            user, rests_on = await self.newcomers.named(record, decide.user_of(claims, record))
            decide.require_may_act_for(agent, user)
            self.tokens.require_standing(_as_caller(client, user, claims, record))
        except Refused as error:
            raise Refused(error.detail, code="invalid_grant") from None
        await self._once(claims, "invalid_grant")
        return replace(
            client,
            user=user,
            token_scopes=decide.scopes_of_grant(claims, client.token_scopes),
            resources=decide.resources_of_grant(claims),
            bound_to=(*client.bound_to, f"issuer:{record.issuer}", *rests_on),
        )

    async def _id_jag(self, client: Client, assertion: str) -> tuple[jose.Claims, IssuerRecord]:
        issuer = str(jose.unproven_claims(assertion, jose.TOKENS).get("iss"))
        record = await self.store.read(lambda records: records.get(ISSUERS, client.tenant, issuer))
        if record is None:
            raise jose.Unproven("its issuer is not trusted here")
        try:
            return _verified(assertion, key_set(record.jwks), ID_JAG_TYPE), record
        except jose.Unproven:  # perhaps the issuer has a new key
            record = await self.refetch(record)
            return _verified(assertion, key_set(record.jwks), ID_JAG_TYPE), record

    async def _once(self, claims: jose.Claims, code: str) -> None:
        """`Refused` where the assertion was shown before."""
        ends = decide.remembered_until(claims, code)
        shown = digest_of(orjson.dumps([claims["iss"], claims["jti"]]).decode())
        if not await self.store.change(lambda records: records.use_assertion(shown, ends)):
            raise Refused("the assertion was used before; make a new one each time", code=code)


def _subject(assertion: str, named: str | None) -> str:
    """Which client an assertion says it is, and the request too where it says so."""
    claimed = jose.unproven_claims(assertion, jose.TOKENS).get("sub")
    client_id = claimed if isinstance(claimed, str) else ""
    if named not in (None, client_id):
        raise jose.Unproven("it is of another `client_id`")
    return client_id


def _as_caller(client: Client, user: str, claims: jose.Claims, record: IssuerRecord) -> Caller:
    """What the assertion says, so that revocations are looked up as for any token."""
    return Caller(
        principal=Principal(
            tenant=client.tenant, kind=PrincipalKind.AGENT, name=client.agent, user=user
        ),
        token_scopes=(),
        roles=(),
        groups=(),
        token_id=str(claims["jti"]),
        issued_at=datetime.fromtimestamp(claims["iat"], UTC),
        expires_at=None,
        how="token",
        issuer=record.issuer,
    )


def _by_registered(assertion: str, agent: AgentRecord) -> tuple[jose.Claims, str]:
    """The claims of an assertion, by whichever key of the agent fits, and its thumbprint."""
    keys = {key.thumbprint(): key for key in map(jose.public_key, agent.public_keys)}
    used = []

    def key_for(header: Header) -> Key:
        kid = str(header.get("kid", "")).rpartition(":")[2]
        if "kid" not in header and len(keys) == 1:
            kid = next(iter(keys))
        if kid not in keys:
            raise jose.Unproven("its key is not registered for the agent")
        used.append(kid)
        return keys[kid]

    return jose.verify(assertion, key_for), used[0]


def _verified(assertion: str, keys: Mapping[str, Key], typ: str | None = None) -> jose.Claims:
    def key_for(header: Header) -> Key:
        said, kid = header.get("typ"), header.get("kid")
        if typ is not None and str(said).lower().removeprefix("application/") != typ:
            raise jose.Unproven(f"its `typ` is not `{typ}`")
        if kid is None and len(keys) == 1:
            return next(iter(keys.values()))
        if kid not in keys:
            raise jose.Unproven("its key is not published")
        return keys[str(kid)]

    return jose.verify(assertion, key_for, jose.TOKENS)
