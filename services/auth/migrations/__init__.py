"""The registry's database, version by version."""
