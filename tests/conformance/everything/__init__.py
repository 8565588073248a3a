"""A server with everything that the official suite asks of one, by the names that it asks for.

It is the upstream: what passes against it directly and not through Interlock is Interlock's fault.
"""
