"""Every message and every published record: what crosses a service's wall. Imports pydantic only."""
