"""Building, starting, watching and stopping services."""
