"""Fetch, decide, answer: what the gateway does at its door, on the bus, and by the clock."""
