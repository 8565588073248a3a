"""Drives the SDK's OAuth clients through our own pool: the same guard, no redirects.

The call that was refused is not made again here: the flow is shown the refusal that it had.
"""

import logging
from urllib.parse import parse_qs, urlsplit

import aiohttp
import httpx2
import orjson
from jwt import PyJWTError
from mcp.client.auth import OAuthClientProvider, OAuthFlowError
from mcp.shared.auth import OAuthClientInformationFull, OAuthToken
from pydantic import BaseModel, ValidationError

from interlock.contracts.catalogue import HttpConnection
from interlock.errors import Refused
from services.invocation.clients.dial import read
from services.invocation.clients.events import TooLarge
from services.invocation.clients.lean import VERSION
from services.invocation.clients.oauth.providers import Consenting
from services.invocation.clients.port import Connection, Reach, UpstreamError
from services.invocation.decide import authorizing
from services.invocation.model import Challenge

SECONDS = 10.0
"""For one answer of an authorization server."""
NO_CREDENTIAL = "no_credential"


class Driver:
    """Sends what a flow asks for."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self._http = http
        logging.getLogger("mcp.client.auth").setLevel(logging.CRITICAL)  # each is told as an error

    async def run(
        self, provider: OAuthClientProvider, connection: Connection, refusal: Challenge | None
    ) -> None:
        """Until the flow would call the upstream, or ask a person.

        `Refused` (`no_credential`) where it cannot end well; `UpstreamError` if somebody is away.
        """
        probe = httpx2.Request("POST", _url(connection), headers={"MCP-Protocol-Version": VERSION})
        flow = provider.async_auth_flow(probe)
        try:
            outgoing = await anext(flow)
            while not (isinstance(provider, Consenting) and provider.pending is not None):
                if outgoing is not probe:
                    answer = await self.send(connection, outgoing)
                elif refusal is not None:
                    answer, refusal = _told(refusal, probe), None
                else:
                    return
                outgoing = await flow.asend(answer)
        except StopAsyncIteration:
            return
        except OAuthFlowError as error:
            raise unlet(connection, _plain(error)) from None
        except (ValueError, PyJWTError):  # of its words some are the key's
            raise unlet(connection, "its private key cannot sign") from None
        finally:
            await flow.aclose()

    async def send(self, connection: Connection, request: httpx2.Request) -> httpx2.Response:
        """One request to let us in, and its answer if that is one which the SDK may see."""
        answer = await self.exchange(connection, request)
        if request.method != "GET":
            _vet(connection, request, answer.status_code, answer.content)
        return answer

    async def exchange(self, connection: Connection, request: httpx2.Request) -> httpx2.Response:
        """One request, and its answer whatever it is."""
        url, secret = str(request.url), request.method != "GET"
        unfit = authorizing.unfit_url(url, _url(connection), secret=secret)
        if unfit is not None:
            raise unlet(connection, unfit)
        try:
            async with self._http.request(
                request.method,
                url,
                data=await request.aread() or None,
                headers={**_headers(request), "Accept": "application/json"},
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=SECONDS),
            ) as answer:
                content = await read(answer)
        except (aiohttp.ClientError, OSError, TimeoutError, TooLarge) as error:
            raise _away(connection, url, error) from None
        return httpx2.Response(answer.status, content=content, request=request)


def unlet(connection: Connection, why: str) -> Refused:
    """We are not let in, and trying again changes nothing."""
    return Refused(f"server `{connection.server}` cannot be authorized: {why}", code=NO_CREDENTIAL)


def _vet(connection: Connection, request: httpx2.Request, status: int, content: bytes) -> None:
    """Let through what the SDK reads without a word: it would log, or tell, what it cannot read."""
    host = urlsplit(str(request.url)).netloc
    if status >= 500 or status == 429:
        raise _unsent(connection, f"`{host}` answered with HTTP status `{status}`")
    grant = _grant(request)
    if grant == "refresh_token" and status != 200:
        return
    if status not in {200, 201}:
        code = authorizing.error_code(_json(content))
        asked = "a token" if grant else "a registration"
        raise unlet(connection, f"`{host}` refused {asked} with `{code}` (HTTP status `{status}`)")
    model: type[BaseModel] = OAuthToken if grant else OAuthClientInformationFull
    try:
        model.model_validate_json(content)
    except ValidationError:
        what = "bearer token" if grant else "registration"
        raise unlet(connection, f"the answer of `{host}` holds no {what}") from None


def _grant(request: httpx2.Request) -> str | None:
    """What a token is asked for with; None of a registration."""
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return None
    return next(iter(parse_qs(request.content.decode()).get("grant_type", ())), None)


def _json(content: bytes) -> object:
    try:
        return orjson.loads(content)
    except ValueError:
        return None


def _away(connection: Connection, url: str, error: Exception) -> UpstreamError | Refused:
    host = urlsplit(url).netloc
    if isinstance(error, aiohttp.ClientConnectorError) and isinstance(
        error.os_error, PermissionError
    ):
        return Refused(
            f"server `{connection.server}` cannot be authorized: {error.os_error.strerror}; an "
            "operator can allow private addresses",
            code="address_not_allowed",
        )
    if isinstance(error, TooLarge | aiohttp.InvalidURL):
        return unlet(connection, f"the answer of `{host}` is too large, or its URL no URL")
    return _unsent(connection, f"`{host}` is unreachable")


def _unsent(connection: Connection, why: str) -> UpstreamError:
    return UpstreamError(
        Reach.NOT_SENT, f"server `{connection.server}` cannot be authorized for now: {why}"
    )


def _told(refusal: Challenge, probe: httpx2.Request) -> httpx2.Response:
    headers = {"WWW-Authenticate": refusal.told} if refusal.told else {}
    return httpx2.Response(refusal.status, headers=headers, request=probe)


def _headers(request: httpx2.Request) -> dict[str, str]:
    wanted = ("authorization", "content-type", "mcp-protocol-version")
    return {name: request.headers[name] for name in wanted if name in request.headers}


def _url(connection: Connection) -> str:
    assert isinstance(connection.at, HttpConnection)
    return connection.at.url


def _plain(error: Exception) -> str:
    text = str(error).strip().rstrip(".")
    return text[:1].lower() + text[1:] if text else type(error).__name__
