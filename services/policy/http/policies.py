"""The door for policies and permissions, with all their versions."""

from typing import Annotated, Any

from pydantic import Field, StringConstraints
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from interlock.contracts.access import PolicyText
from interlock.errors import Refused
from interlock.identity.asgi import answered, authenticate
from interlock.identity.caller import Caller
from interlock.identity.roles import Right, require
from interlock.identity.tokens import Tokens
from interlock.policy import builtin_policies, load
from interlock.runtime.bodies import Body, body
from interlock.runtime.relay import Relay
from services.policy import decide
from services.policy.handlers.rulebook import Rulebook
from services.policy.model import PolicyVersion

LARGEST = 256 * 1024
LISTED = 200
Permission = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class NewText(Body):
    """A policy's Cedar text."""

    text: str = Field(max_length=LARGEST)


class NamedText(NewText):
    """A policy with its name."""

    name: str


class Candidates(Body):
    """Policies as they might be."""

    policies: tuple[NamedText, ...]


class Permissions(Body):
    """What an agent is given."""

    permissions: tuple[Permission, ...] = ()
    with_approval: tuple[Permission, ...] = ()


class PolicyDoor:
    """The endpoints, relative to `/policy`."""

    def __init__(self, rulebook: Rulebook, relay: Relay, tokens: Tokens) -> None:
        self._rulebook = rulebook
        self._relay = relay
        self._tokens = tokens

    def routes(self) -> list[Route]:
        one, given = "/v1/policies/{name}", "/v1/permissions/{agent}"
        return [
            Route("/v1/policies", answered(self.list)),
            Route("/v1/policies/check", answered(self.check), methods=["POST"]),
            Route(one, answered(self.show)),
            Route(one, answered(self.put), methods=["PUT"]),
            Route(one, answered(self.delete), methods=["DELETE"]),
            Route("/v1/policy-versions", answered(self.history)),
            Route("/v1/permissions", answered(self.permissions)),
            Route(given, answered(self.permit), methods=["PUT"]),
        ]

    async def list(self, request: Request) -> Response:
        """The policies in force, or those of `?version=`, beside the built-in ones."""
        found = await self._version(request)
        shown = {
            "policies": [_text(one) for one in found.record.policies],
            "builtin": [_text(one) for one in builtin_policies()],
        }
        return JSONResponse(_about(found) | shown)

    async def show(self, request: Request) -> Response:
        """One policy, of `?version=` too."""
        found = await self._version(request)
        name = request.path_params["name"]
        text = next((one for one in found.record.policies if one.name == name), None)
        if text is None:
            raise Refused(f"there is no policy `{name}`", code="not_found")
        return JSONResponse(_about(found) | _text(text))

    async def put(self, request: Request) -> Response:
        """Put a policy in force: JSON `{"text": …}`, or the Cedar text itself."""
        caller = await self._caller(request, Right.POLICY_WRITE)
        name, tenant = request.path_params["name"], caller.principal.tenant
        decide.require_name("policy", name)
        text = await _cedar(request)
        return await self._changed(await self._rulebook.put(tenant, name, text, caller.principal))

    async def delete(self, request: Request) -> Response:
        """Take a policy out of force; its versions stay."""
        caller = await self._caller(request, Right.POLICY_WRITE)
        name, tenant = request.path_params["name"], caller.principal.tenant
        return await self._changed(await self._rulebook.delete(tenant, name, caller.principal))

    async def check(self, request: Request) -> Response:
        """Whether candidates would be valid beside what is in force; nothing changes."""
        caller = await self._caller(request, Right.POLICY_READ)
        candidates = await body(request, Candidates)
        record = self._rulebook.newest(caller.principal.tenant).record
        texts = {one.name: one.text for one in candidates.policies}
        for name in texts:
            decide.require_name("policy", name)
        try:
            loaded = load(decide.with_policies(record, texts, ()))
        except Refused as error:
            return JSONResponse({"valid": False, "detail": error.detail, **error.data})
        rules = [
            {"id": rule.id, "place": rule.place, "forbids": rule.forbids}
            for rule in loaded.rules.values()
        ]
        return JSONResponse({"valid": True, "rules": rules})

    async def history(self, request: Request) -> Response:
        """Which version came when, by whom and about what; newest first."""
        caller = await self._caller(request, Right.POLICY_READ)
        found = await self._rulebook.sets.history(caller.principal.tenant, LISTED)
        return JSONResponse({"versions": [_about(one) for one in found]})

    async def permissions(self, request: Request) -> Response:
        """What each agent was given, as of `?version=` too."""
        found = await self._version(request)
        given = [one.model_dump(mode="json") for one in found.record.permissions]
        return JSONResponse(_about(found) | {"permissions": given})

    async def permit(self, request: Request) -> Response:
        """Set what an agent is given; nothing takes its entry away."""
        caller = await self._caller(request, Right.POLICY_WRITE)
        agent = request.path_params["agent"]
        decide.require_name("agent", agent)
        said = await body(request, Permissions)
        return await self._changed(
            await self._rulebook.permit(
                agent, said.permissions, said.with_approval, caller.principal
            )
        )

    async def _changed(self, made: PolicyVersion) -> Response:
        await self._relay.flush()
        return JSONResponse(_about(made))

    async def _version(self, request: Request) -> PolicyVersion:
        caller = await self._caller(request, Right.POLICY_READ)
        tenant, wanted = caller.principal.tenant, request.query_params.get("version")
        if wanted is None:
            await self._rulebook.refresh()
            return self._rulebook.newest(tenant)
        found = None
        if wanted.isascii() and wanted.isdigit() and len(wanted) < 19:
            found = await self._rulebook.sets.get(tenant, int(wanted))
        if found is None:
            raise Refused(f"there is no policy version `{wanted}`", code="not_found")
        return found

    async def _caller(self, request: Request, right: Right) -> Caller:
        caller = await authenticate(request, self._tokens)
        require(caller, right)
        return caller


async def _cedar(request: Request) -> str:
    if request.headers.get("content-type", "").startswith("application/json"):
        return (await body(request, NewText)).text
    raw = await request.body()
    if len(raw) > LARGEST:
        raise Refused(f"a policy has at most `{LARGEST}` bytes", code="too_large")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise Refused(f"the policy is no UTF-8: {error.reason}", code="invalid") from None


def _about(made: PolicyVersion) -> dict[str, Any]:
    return {
        "version": made.record.version,
        "at": made.at.isoformat(),
        "by": made.by,
        "what": made.what,
    }


def _text(policy: PolicyText) -> dict[str, Any]:
    return {"name": policy.name, "text": policy.text}
