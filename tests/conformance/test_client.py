"""`make conformance`: Interlock as the client; each scenario's server is an upstream of it."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.components.required import Missing, without
from tests.components.suite import suite
from tests.conformance import calling
from tests.conformance.official import judge_client, require_installed
from tests.conformance.test_server import REVISIONS, report

AGENT = "client"
COMMAND = f"{sys.executable} -I -S {calling.__file__}"

DOCUMENT = "https://conformance-test.local/client-metadata.json"
"""What the suite calls the client by, where its authorization server takes documents."""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """An Interlock, and what its client has to know of it."""
    try:
        require_installed()
    except Missing as missing:
        without("conformance", missing)
    data = tmp_path_factory.mktemp("peers") / "data"
    with suite(data, env={"INTERLOCK_INVOCATION_CLIENT_METADATA_URL": DOCUMENT}) as running:
        running.ask("POST", "/auth/v1/agents", {"name": AGENT})
        permissions = {"permissions": [calling.SCOPE]}
        running.ask("PUT", f"/policy/v1/permissions/{AGENT}", permissions)
        made = running.ask("POST", "/auth/v1/keys", {"agent": AGENT})
        yield {
            calling.URL: running.url,
            calling.OPERATOR: running.operator_key,
            calling.AGENT: made["key"],
        }


@pytest.mark.promise("conforms")
@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_the_official_suite_fails_the_client_where_the_baseline_says_and_nowhere_else(
    environment: Mapping[str, str], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """One revision after the other: the suite begins all scenarios of one at the same moment."""
    verdicts = {
        one: await judge_client(COMMAND, one, tmp_path / one, environment) for one in REVISIONS
    }
    for revision, verdict in verdicts.items():
        await report(request, revision, "Client", verdict)
    for revision, verdict in verdicts.items():
        assert verdict.agrees, f"{revision}: {verdict.text}"
