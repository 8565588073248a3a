"""What an upstream server sees of us beside the call itself."""

TASK_ID_META = "dev.interlock/taskId"
"""Key in MCP `_meta`: the task for which a tool is called, the same in every attempt at it.

A server that keeps the ids it has executed can turn a repeated call away.
"""
