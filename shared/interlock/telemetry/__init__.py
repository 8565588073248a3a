"""Logs, traces and metrics with the same ids."""
