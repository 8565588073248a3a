"""The embedded issuer as its metadata tells it: at its own door, and where RFC 8414 looks."""

from typing import Any

CLIENT_CREDENTIALS = "client_credentials"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
"""RFC 7523 §2.1; the assertion is an Identity Assertion Authorization Grant (ID-JAG)."""
ID_JAG_PROFILE = "urn:ietf:params:oauth:grant-profile:id-jag"
ID_JAG_TYPE = "oauth-id-jag+jwt"
METHODS = ("client_secret_basic", "client_secret_post", "private_key_jwt")
ALGORITHMS = ("EdDSA", "Ed25519", "ES256", "RS256")
"""How clients prove themselves."""
GRANTS = (CLIENT_CREDENTIALS, JWT_BEARER)


def issuer_url(edge: str) -> str:
    """The issuer of a suite whose edge is at `edge`."""
    return f"{edge}/auth"


def issuer_metadata(edge: str) -> dict[str, Any]:
    """RFC 8414 §2 and OpenID Connect Discovery. Nobody is authorized here, for only agents are
    known, but clients want the endpoint named."""
    issuer = issuer_url(edge)
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/authorize",
        "token_endpoint": f"{issuer}/token",
        "jwks_uri": f"{issuer}/jwks",
        "response_types_supported": [],
        "grant_types_supported": list(GRANTS),
        "authorization_grant_profiles_supported": [ID_JAG_PROFILE],
        "introspection_endpoint": f"{issuer}/introspect",
        **{
            f"{endpoint}_endpoint_auth_{told}_supported": list(values)
            for endpoint in ("token", "introspection")
            for told, values in (("methods", METHODS), ("signing_alg_values", ALGORITHMS))
        },
        "client_id_metadata_document_supported": True,
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
    }
