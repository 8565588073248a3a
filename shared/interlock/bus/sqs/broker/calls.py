"""The calls that carry messages, spared what the client does around each.

Of the CPU that a call through aiobotocore costs, some 1.4 ms, HTTP is a fifth. The rest is hooks,
rules that find the endpoint anew, a model walked value by value, headers kept as those of an
e-mail. Here a call is its JSON, botocore's signature and the client's own HTTP session: 0.5 ms.

What the client decides is taken from it: see `Target`. Its session's credentials renew themselves;
TLS, proxies, time limits, the pool and what is raised are its HTTP session's; errors are read by
botocore's own parser. Nothing is repeated, as the client repeats nothing: see `Connection.client`.

`tests/interlock/bus/sqs/test_calls.py` holds what is leaned on: `generate_presigned_url`,
`get_credentials`, `AIOHTTPSession.send`, `botocore.parsers`; and not public, `client._endpoint`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import ClientError, NoCredentialsError
from botocore.parsers import ResponseParserError, create_parser

JSON = "application/x-amz-json-1.0"


@dataclass(frozen=True)
class Target:
    """Where a client sends, and what its signatures are good for."""

    url: str
    region: str
    service: str

    @classmethod
    async def of(cls, client: Any) -> "Target":
        """As it stands in a URL that the client signs: it alone knows the rules by which a region
        and its settings make an endpoint."""
        parts = urlsplit(await client.generate_presigned_url("list_queues"))
        (scope,) = parse_qs(parts.query)["X-Amz-Credential"]
        _, _, region, service, _ = scope.rsplit("/", 4)
        return cls(parts._replace(query="").geturl(), region, service)


class Calls:
    """Through the clients of one session, which all send to the same place."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._target: Target | None = None

    async def __call__(
        self, client: Any, operation: str, asked: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The answer as SQS words it, with whatever it says beyond what we know.

        Raises what the client would: `ClientError` where SQS refuses, botocore's other kinds where
        it could not be asked, and `ResponseParserError` where what answered is not it.
        """
        target = self._target = self._target or await Target.of(client)
        if (credentials := await self._session.get_credentials()) is None:
            raise NoCredentialsError
        body = orjson.dumps(asked)
        headers = {
            "content-type": JSON,
            "x-amz-target": f"AmazonSQS.{operation}",
            "x-amzn-query-mode": "true",  # else errors come without the codes that they always had
            "user-agent": client.meta.config.user_agent,
        }
        request = AWSRequest("POST", target.url, headers=headers, data=body)
        keys = await credentials.get_frozen_credentials()
        SigV4Auth(keys, target.service, target.region).add_auth(request)
        response = await client._endpoint.http_session.send(request.prepare())
        content = await response.content
        if response.status_code >= 300:
            raise _refusal(response, content, operation)
        return _read(content)


def _read(content: bytes) -> dict[str, Any]:
    try:
        answer = orjson.loads(content or b"{}")
    except ValueError as error:
        raise ResponseParserError(f"the answer is no JSON: {error}") from None
    if not isinstance(answer, dict):
        raise ResponseParserError("the answer is no object of JSON")
    return answer


def _refusal(response: Any, content: bytes, operation: str) -> Exception:
    told = {"status_code": response.status_code, "headers": response.headers, "body": content}
    try:
        parsed = create_parser("json").parse(told, None)  # type: ignore[arg-type]  # an error has none
    except (AttributeError, TypeError, ValueError) as error:
        return ResponseParserError(f"the error is no object of JSON: {error}")
    return ClientError(parsed, operation)
