"""Auth's door: what people manage (`/v1/…`), and the embedded issuer for OAuth clients."""

from services.auth.http.api import Api, api_routes
from services.auth.http.oauth import OAuth, oauth_routes

__all__ = ["Api", "OAuth", "api_routes", "oauth_routes"]
