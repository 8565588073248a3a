"""A small CRM as an MCP server over streamable HTTP, with failures on demand and a log of calls."""

from interlock.samples.crm.app import crm_app
from interlock.samples.crm.book import Book, Deal
from interlock.samples.crm.trouble import Failure, Trouble

__all__ = ["Book", "Deal", "Failure", "Trouble", "crm_app"]
