"""Real servers for tests: each module starts one, `fixtures` hands them out."""
