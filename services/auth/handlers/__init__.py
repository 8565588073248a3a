"""What auth does: fetch, decide, answer."""

from services.auth.handlers.access import Access, NewKey
from services.auth.handlers.delegations import Delegations
from services.auth.handlers.introspecting import Introspecting
from services.auth.handlers.issuers import Asking, Issuers
from services.auth.handlers.issuing import Issuing
from services.auth.handlers.newcomers import Newcomers
from services.auth.handlers.proving import Proving
from services.auth.handlers.submissions import Submitted
from services.auth.handlers.tenants import Tenants
from services.auth.handlers.users import Known, Told, Users

__all__ = [
    "Access",
    "Asking",
    "Delegations",
    "Introspecting",
    "Issuers",
    "Issuing",
    "Known",
    "NewKey",
    "Newcomers",
    "Proving",
    "Submitted",
    "Tenants",
    "Told",
    "Users",
]
