"""Audit's database, version by version."""
