"""The set of docker-compose.yml as processes, and the story that is told of any deployed suite.

One start serves the whole module: it takes about a minute of both cores.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from ruamel.yaml import YAML

from interlock.cli.deploy import SIGNERS
from interlock.contracts.topics import SERVICES
from tests.components.compose import ROOT
from tests.components.keycloak import Keycloak
from tests.components.local import Local, local
from tests.components.required import Missing, without
from tests.smoke.story import Place, tell

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
NAME = re.compile(r"\b(interlock_\w+)")


@pytest.fixture(scope="module")
def here(local_set: Local, keycloak_begun: Keycloak) -> Iterator[Local]:
    try:
        with local(local_set, keycloak_begun):
            yield local_set
    except Missing as missing:
        without("kafka", missing)


@pytest.mark.promise("deployed")
async def test_the_whole_story_goes_as_it_must(here: Local) -> None:
    told: list[str] = []
    issuer = f"{here.keycloak}/realms/interlock"
    await tell(Place(here.url, issuer, here.upstream, here.realm), told.append)
    assert len(told) == 6
    assert here.died() is None


def token(here: Local) -> str:
    """As Prometheus reads it from its own file."""
    scrape = YAML(typ="safe", pure=True).load(ROOT / "deploy" / "prometheus" / "prometheus.yml")
    (job,) = scrape["scrape_configs"]
    credentials = Path(job["authorization"]["credentials_file"])
    (mount,) = [one for one in here.compose.mounts("prometheus") if one.target == str(credentials)]
    return Path(mount.source).read_text("utf-8")


def metrics(here: Local, name: str, bearer: str) -> httpx2.Response:
    headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
    url = f"http://127.0.0.1:{here.ports[name]}/metrics"
    return httpx2.get(url, headers=headers, timeout=20)


def test_only_the_scraper_reads_a_service_s_figures(here: Local) -> None:
    scraper = token(here)
    for name in SERVICES:
        told = [metrics(here, name, given).status_code for given in (scraper, "", "x" * 48)]
        assert told == [200, 401, 401], name


def test_each_metric_of_the_dashboard_is_one_that_a_service_exports(here: Local) -> None:
    """Told by `# TYPE`, with the names that a histogram's and a counter's series have."""
    exported: set[str] = set()
    for name in SERVICES:
        text = metrics(here, name, token(here)).text
        for metric, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M):
            suffixes = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
            exported |= {metric + suffix for suffix in suffixes}
    board = json.loads((ROOT / "deploy/grafana/dashboards/interlock.json").read_text("utf-8"))
    asked = [target["expr"] for panel in board["panels"] for target in panel.get("targets", ())]
    asked += [one["query"] for one in board["templating"]["list"]]
    wanted = {name for text in asked for name in NAME.findall(text)}
    assert len(wanted) >= 10
    assert not wanted - exported


def test_what_a_panel_groups_by_is_a_label_of_its_metric(here: Local) -> None:
    labels: dict[str, set[str]] = {}
    for name in SERVICES:
        text = metrics(here, name, token(here)).text
        for metric, told in re.findall(r"^(interlock_\w+)\{([^}]*)\}", text, re.M):
            labels.setdefault(metric, set()).update(re.findall(r"(\w+)=", told))
    board = json.loads((ROOT / "deploy/grafana/dashboards/interlock.json").read_text("utf-8"))
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            for metric in NAME.findall(target["expr"]):
                by = re.search(r"by \(([\w, ]+)\)", target["expr"])
                assert by is not None
                if metric in labels:  # else nothing of the kind has happened yet
                    assert {*by[1].split(", ")} <= labels[metric], metric


@pytest.mark.promise("deployed")
def test_each_service_has_its_own_private_key_and_its_own_database_only(here: Local) -> None:
    for name in SERVICES:
        environment = here.environment(name)
        keys = {path.name for path in (here.folder / "keys" / name).glob("*.key.json")}
        assert keys == {f"{signer}.key.json" for signer in SIGNERS[name]}
        assert environment["INTERLOCK_KEYS"] == str(here.folder / "keys" / name)
        assert "INTERLOCK_DATABASE_URL" not in environment
        assert environment["INTERLOCK_EMBEDDED"] == "false"
        assert environment["INTERLOCK_BUS_URL"].startswith("kafka://127.0.0.1:")
