"""What to do about a component that this machine lacks."""

import os
from typing import NoReturn

import pytest

REQUIRED = "INTERLOCK_REQUIRE"
"""Names of components, separated by commas, without which a test run must not pass."""


class Missing(Exception):
    """This machine cannot start the component; the text says what to install."""


def without(component: str, missing: Missing) -> NoReturn:
    """Fail the test if the component is required here, else skip it, either with the reason."""
    reason = f"{component} is missing: {missing}"
    if component in os.environ.get(REQUIRED, "").replace(" ", "").split(","):
        pytest.fail(f"{reason} (named in {REQUIRED})", pytrace=False)
    pytest.skip(reason)
