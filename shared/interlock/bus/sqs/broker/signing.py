"""Where requests go, and what proves them: Signature Version 4.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from botocore.credentials import ReadOnlyCredentials

DEFAULT_PORTS = {"http": ":80", "https": ":443"}


@dataclass(frozen=True)
class Target:
    """Where a client sends, and what its signatures are good for."""

    url: str
    region: str
    service: str = "sqs"

    @classmethod
    async def of(cls, client: Any) -> "Target":
        """As it stands in a URL that the client signs: it alone knows the rules by which a region
        and its settings make an endpoint."""
        parts = urlsplit(await client.generate_presigned_url("list_queues"))
        (scope,) = parse_qs(parts.query)["X-Amz-Credential"]
        _, _, region, service, _ = scope.rsplit("/", 4)
        return cls(parts._replace(query="").geturl(), region, service)

    @property
    def host(self) -> str:
        """As HTTP names it: without the scheme's own port."""
        parts = urlsplit(self.url)
        named = parts.netloc.rpartition("@")[2].lower()
        return named.removesuffix(DEFAULT_PORTS.get(parts.scheme, ""))


class Signer:
    """Of posts to one place. botocore's own takes 0.15 ms to come to the same."""

    def __init__(self, target: Target) -> None:
        self._scope = f"{target.region}/{target.service}/aws4_request"
        self._host = target.host
        self._path = quote(urlsplit(target.url).path or "/", safe="/~")
        self._key = "", "", b""
        """A secret, a day's scope, and the key that they make."""

    def signed(
        self, headers: Mapping[str, str], body: bytes, keys: ReadOnlyCredentials, at: str
    ) -> dict[str, str]:
        """`headers`, whose names are in small letters, and those that prove them and the body;
        `at` as in `20261127T191155Z`."""
        shown = {**headers, "host": self._host, "x-amz-date": at}
        if keys.token:
            shown["x-amz-security-token"] = keys.token
        names = sorted(shown)
        lines = "".join([f"{name}:{shown[name]}\n" for name in names])
        told = ";".join(names)
        request = f"POST\n{self._path}\n\n{lines}\n{told}\n{sha256(body).hexdigest()}"
        scope = f"{at[:8]}/{self._scope}"
        text = f"AWS4-HMAC-SHA256\n{at}\n{scope}\n{sha256(request.encode()).hexdigest()}"
        key = self._derived(keys.secret_key or "", scope)
        shown["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={keys.access_key}/{scope}, SignedHeaders={told},"
            f" Signature={hmac.digest(key, text.encode(), 'sha256').hex()}"
        )
        return shown

    def _derived(self, secret: str, scope: str) -> bytes:
        """Made once a day."""
        if self._key[:2] != (secret, scope):
            key = f"AWS4{secret}".encode()
            for part in scope.split("/"):
                key = hmac.digest(key, part.encode(), "sha256")
            self._key = secret, scope, key
        return self._key[2]
