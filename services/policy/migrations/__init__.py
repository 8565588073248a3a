"""Policy's database, version by version."""
