"""What auth does: fetch, decide, answer."""

from services.auth.handlers.access import Access, NewKey
from services.auth.handlers.delegations import Delegations
from services.auth.handlers.issuers import Issuers
from services.auth.handlers.issuing import Issuing
from services.auth.handlers.proving import Proving
from services.auth.handlers.submissions import Submitted

__all__ = ["Access", "Delegations", "Issuers", "Issuing", "NewKey", "Proving", "Submitted"]
