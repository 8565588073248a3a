"""What every test may ask for."""

from hypothesis import settings

pytest_plugins = ["tests.components.fixtures"]

# A loaded machine is not a counterexample: time limits are pytest-timeout's.
settings.register_profile("interlock", deadline=None)
settings.load_profile("interlock")
