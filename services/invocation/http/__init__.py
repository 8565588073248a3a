"""Invocation's doors: the journal, and what upstreams let Interlock in with."""

from services.invocation.http.journal import Door, routes
from services.invocation.http.logins import LoginDoor, login_routes

__all__ = ["Door", "LoginDoor", "login_routes", "routes"]
