"""An OpenID issuer of our own, which signs whatever a test wants said."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey

ALGORITHM = "ES256"


@dataclass(frozen=True)
class Issuer:
    """Its URL and its key."""

    url: str
    key: ECKey

    def token(self, claims: Mapping[str, Any], *, key: ECKey | None = None) -> str:
        """An access token (RFC 9068), signed with `key` where that is another."""
        header = {"alg": ALGORITHM, "typ": "at+jwt", "kid": self.key.thumbprint()}
        said = {"iss": self.url, **claims}
        return jwt.encode(header, said, key or self.key, algorithms=[ALGORITHM])


@contextmanager
def issuer() -> Iterator[Issuer]:
    """Discovery and key set on loopback, as long as the block lasts."""
    key = ECKey.generate_key("P-256")
    documents: dict[str, Any] = {}
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Documents, documents))
    url = f"http://127.0.0.1:{server.server_address[1]}"
    public = key.as_dict(private=False) | {"kid": key.thumbprint(), "use": "sig"}
    documents["/.well-known/openid-configuration"] = {
        "issuer": url,
        "jwks_uri": f"{url}/jwks",
        "token_endpoint": f"{url}/token",
    }
    documents["/jwks"] = {"keys": [public | {"alg": ALGORITHM}]}
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield Issuer(url, key)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Documents(BaseHTTPRequestHandler):
    """Serves JSON documents by path."""

    def __init__(self, documents: Mapping[str, Any], *given: Any) -> None:
        self._documents = documents
        super().__init__(*given)

    def do_GET(self) -> None:
        found = self._documents.get(self.path)
        body = json.dumps(found).encode()
        self.send_response(404 if found is None else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Silence."""
