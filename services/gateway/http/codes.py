"""Codes of JSON-RPC 2.0 (§5.1). The SDK has them, too, and is imported later."""

INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
