"""Who speaks: tokens at doors, signed statements on the bus."""
