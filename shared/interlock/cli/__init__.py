"""The command line: what the doors offer, for people (tables) and for scripts (`--json`).

Exit codes: 0 it is done; 1 it is answered, and the answer is no (a task failed, a door refused, a
ledger has faults); 2 it could not be asked (bad usage, nothing listens, nothing may start).
"""
