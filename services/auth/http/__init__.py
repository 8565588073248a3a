"""Auth's door: what people manage (`/v1/…`), and the embedded issuer for OAuth clients."""

from services.auth.http.api import Api, api_routes
from services.auth.http.oauth import OAuth, oauth_routes
from services.auth.http.tenants import TenantsApi, tenant_routes
from services.auth.http.users import UsersApi, user_routes

__all__ = [
    "Api",
    "OAuth",
    "TenantsApi",
    "UsersApi",
    "api_routes",
    "oauth_routes",
    "tenant_routes",
    "user_routes",
]
