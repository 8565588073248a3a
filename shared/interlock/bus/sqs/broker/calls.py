"""The calls that carry messages, spared what the client does around each.

Of the CPU that a call through aiobotocore costs, some 1.4 ms, HTTP is a fifth. The rest is hooks,
rules that find the endpoint anew, a model walked value by value, headers kept as those of an
e-mail. Here a call is its JSON, its signature and the client's own HTTP session: 0.3 ms.

What the client decides is taken from it: see `Target`. Its session's credentials renew themselves;
TLS, proxies, time limits, the pool and what is raised are its HTTP session's; errors are read by
botocore's own parser. Nothing is repeated, as the client repeats nothing: see `Connection.client`.

`tests/interlock/bus/sqs/test_calls.py` holds what is leaned on: `generate_presigned_url`,
`get_credentials`, `AIOHTTPSession.send`, `botocore.parsers`; and not public, `client._endpoint`.
"""

import time
from collections.abc import Mapping
from typing import Any

import orjson
from botocore.awsrequest import AWSPreparedRequest
from botocore.exceptions import ClientError, NoCredentialsError
from botocore.parsers import ResponseParserError, create_parser

from interlock.bus.sqs.broker.signing import Signer, Target

JSON = "application/x-amz-json-1.0"


class Calls:
    """Through the clients of one session, which all send to the same place."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._place: tuple[Target, Signer] | None = None

    async def __call__(
        self, client: Any, operation: str, asked: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The answer as SQS words it, with whatever it says beyond what we know.

        Raises what the client would: `ClientError` where SQS refuses, botocore's other kinds where
        it could not be asked, and `ResponseParserError` where what answered is not it.
        """
        if self._place is None:
            target = await Target.of(client)
            self._place = target, Signer(target)
        target, signer = self._place
        if (credentials := await self._session.get_credentials()) is None:
            raise NoCredentialsError
        body = orjson.dumps(asked)
        headers = {
            "content-type": JSON,
            "x-amz-target": f"AmazonSQS.{operation}",
            "x-amzn-query-mode": "true",  # else errors come without the codes that they always had
        }
        keys = await credentials.get_frozen_credentials()
        headers = signer.signed(headers, body, keys, _now())
        headers["user-agent"] = client.meta.config.user_agent
        request = AWSPreparedRequest("POST", target.url, headers, body, False)  # type: ignore[arg-type]  # any mapping does
        response = await client._endpoint.http_session.send(request)
        content = await response.content
        if response.status_code >= 300:
            raise _refusal(response, content, operation)
        return _read(content)


def _now() -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())


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
