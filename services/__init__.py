"""The services of the suite, each a folder of its own. None imports another."""
