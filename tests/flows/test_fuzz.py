"""Every endpoint that the API's page names is asked for nonsense, signed in and not.

`INTERLOCK_FUZZ=full` makes it look fifty times longer.
"""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

import httpx2
import pytest
import schemathesis
from hypothesis import given
from schemathesis.core.result import Ok

from interlock.contracts.topics import SERVICES
from tests.components.world import World, world
from tests.fuzz import fuzzed, require_sound

pytestmark = pytest.mark.slow
EXAMPLES = 6
"""Of each operation."""
WITHIN = 60.0
"""Seconds for one answer: to look at a server that does not exist takes a while."""


@pytest.fixture(scope="module")
def fuzzing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("fuzzing")) as running:
        yield running


@pytest.mark.parametrize("service", SERVICES)
def test_no_request_breaks_a_service_or_shows_its_insides(fuzzing: World, service: str) -> None:
    with urlopen(f"{fuzzing.suite.url}/openapi.json", timeout=30) as answer:
        document = json.load(answer)
    document["paths"] = {
        path: operations
        for path, operations in document["paths"].items()
        if any(one["tags"] == [service] for one in operations.values())
    }
    key = fuzzing.suite.operator_key
    asked = 0
    with httpx2.Client(base_url=fuzzing.suite.url, timeout=WITHIN) as http:
        for found in schemathesis.openapi.from_dict(document).get_all_operations():
            assert isinstance(found, Ok), found.err()

            @given(case=found.ok().as_strategy())
            @fuzzed(EXAMPLES)
            def ask(case: schemathesis.Case[Any]) -> None:
                nonlocal asked
                asked += 1
                given = case.as_transport_kwargs(base_url=fuzzing.suite.url)
                path = urlsplit(given["url"]).path
                if path == "/mcp" or path.endswith("/mcp"):
                    return  # `tests/services/gateway/http/test_fuzz.py` knows how to
                for token in (None, key):
                    told = http.request(
                        given["method"],
                        given["url"],
                        params=given.get("params"),
                        json=given.get("json"),
                        headers={} if token is None else {"Authorization": f"Bearer {token}"},
                    )
                    require_sound(told.status_code, told.text, *(() if token is None else (key,)))

            ask()
    assert asked > 0
    assert fuzzing.suite.ready()
