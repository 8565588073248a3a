"""Sessions of the SDK: for upstreams of the handshake era, and for those on stdio.

A session is opened at first use, shared by all calls under the same connection, and opened anew
when it has died. Everything of it is entered and left by one task of its own, because the SDK's
cancel scopes must be.
"""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

import mcp_types as types
import orjson
import structlog
from mcp.client._probe import negotiate_auto
from mcp.client.session import ClientSession
from mcp.shared.exceptions import MCPError
from mcp_types.jsonrpc import CONNECTION_CLOSED, PARSE_ERROR
from pydantic import TypeAdapter, ValidationError

from interlock.contracts.catalogue import Inspection, StdioConnection
from interlock.contracts.upstream import TASK_ID_META
from interlock.errors import Refused
from services.invocation.clients import faults
from services.invocation.clients.carrier import told_by
from services.invocation.clients.lean import MOST_PAGES, answer_of
from services.invocation.clients.port import (
    Connection,
    OnProgress,
    Reach,
    UpstreamAnswer,
    UpstreamCall,
    UpstreamError,
)
from services.invocation.clients.process import Streams
from services.invocation.clients.text import Span, compact
