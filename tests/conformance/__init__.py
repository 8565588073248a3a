"""The official conformance suite against Interlock in front of a server that does everything."""
