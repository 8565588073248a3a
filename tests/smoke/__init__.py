"""The smoke test of a running suite, from outside: `python -m tests.smoke`."""
