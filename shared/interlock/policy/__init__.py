"""Judging a call with Cedar: pure, shared by the gateway (to hide) and policy (to decide)."""
