"""Messages and published records: what crosses a service's wall. Imports pydantic only."""
