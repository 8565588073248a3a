"""docker-compose.yml without an engine: valid, pinned, bounded, unprivileged, about our code."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic_settings import BaseSettings
from ruamel.yaml import YAML

from interlock.contracts.topics import SERVICES
from interlock.runtime.settings import EdgeSettings, SuiteSettings
from services.audit.settings import Settings as Audit
from services.auth.settings import Settings as Auth
from services.gateway.settings import Settings as Gateway
from services.invocation.settings import Settings as Invocation
from services.policy.settings import Settings as Policy
from services.registry.settings import Settings as Registry
from tests.components.compose import FILE, ROOT, Compose, compose

STATE = "/state"
VARIABLES = {"INTERLOCK_UID": "1000", "INTERLOCK_GID": "1000", "INTERLOCK_STATE": STATE}
SETTINGS: tuple[type[BaseSettings], ...] = (
    SuiteSettings,
    EdgeSettings,
    Audit,
    Auth,
    Gateway,
    Invocation,
    Policy,
    Registry,
)
WRITABLE = {"keycloak": "builds itself at its start"}
"""Containers whose file system is not read-only, and why."""
UNWATCHED = {"collector", "jaeger", "elasticmq"}
"""Their images hold nothing that could look: neither a shell nor a client."""
SECRET = re.compile(r"(?i)password|secret|token|_key$")
PINNED = re.compile(r"[\w./-]+:v?\d+(\.\d+)+")


@pytest.fixture(scope="module")
def file() -> Compose:
    return compose(VARIABLES)


def names() -> list[str]:
    return list(compose(VARIABLES).services)


def test_it_is_valid_by_the_schema_of_the_compose_specification() -> None:
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    checked = subprocess.run([*check, str(FILE)], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_each_service_of_ours_has_a_container_with_an_image_of_its_own(file: Compose) -> None:
    for name in SERVICES:
        service = file.services[name]
        assert service["image"].startswith(f"interlock/{name}:")
        build = file.services["gateway-image" if name == "gateway" else name]["build"]
        assert build["args"] == {"SERVICE": name}


@pytest.mark.parametrize("name", names())
def test_an_image_is_pinned_by_a_tag_that_says_a_version(file: Compose, name: str) -> None:
    assert PINNED.fullmatch(file.services[name]["image"])


@pytest.mark.parametrize("image", ["postgres", "postgres:latest", "postgres:17", "x/y:main"])
def test_an_image_that_may_change_is_no_pinned_one(image: str) -> None:
    assert not PINNED.fullmatch(image)


@pytest.mark.parametrize("name", names())
def test_a_container_has_no_privileges_and_bounds(file: Compose, name: str) -> None:
    service = file.services[name]
    user = str(service["user"]).partition(":")[0]
    assert user.isdecimal()
    assert int(user) > 0
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "pid", "ipc", "devices"} & service.keys()
    assert service["read_only"] is (name not in WRITABLE)
    assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory", "pids"}
    assert service["logging"]["options"]["max-size"]


@pytest.mark.parametrize("name", names())
def test_a_container_that_lasts_is_watched(file: Compose, name: str) -> None:
    service = file.services[name]
    if service["restart"] != "no" and name not in UNWATCHED:
        assert service["healthcheck"]["test"]


def test_who_must_be_there_first_is_waited_for_until_it_works(file: Compose) -> None:
    for name in SERVICES:
        needs = file.services[name]["depends_on"]
        assert needs["bus-apply"] == {"condition": "service_completed_successfully"}
        assert needs["postgres"] == needs["valkey"] == {"condition": "service_healthy"}


def test_only_loopback_is_published(file: Compose) -> None:
    ports = [port for one in file.services.values() for port in one.get("ports", ())]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_planes_are_networks_that_lead_nowhere_and_each_has_only_whom_it_concerns(
    file: Compose,
) -> None:
    inside = {name for name, one in file.document["networks"].items() if one.get("internal")}
    assert inside == {"identity", "doors", "bus", "state", "database", "telemetry"}
    on = {
        network: {name for name, one in file.services.items() if network in one.get("networks", ())}
        for network in file.document["networks"]
    }
    assert on["database"] == {"postgres", *SERVICES} - {"gateway"}
    assert on["state"] == {"valkey", "bus-apply", *SERVICES}
    assert on["bus"] == {"kafka", "elasticmq", "bus-apply", *SERVICES}
    assert on["upstreams"] == {"invocation", "crm"}
    assert on["identity"] == {"keycloak", "auth"}


# -- secrets ----------------------------------------------------------------------------------


def test_no_environment_holds_a_secret(file: Compose) -> None:
    told = {
        f"{name}: {key}": value
        for name in file.services
        for key, value in file.environment(name).items()
        if SECRET.search(key) or re.search(r"://[^/@]*:[^/@]*@", value)
    }
    assert told == {
        "postgres: POSTGRES_PASSWORD_FILE": "/run/secrets/postgres_password",
        "grafana: GF_SECURITY_ADMIN_PASSWORD__FILE": "/run/secrets/grafana_password",
        **{
            f"{name}: INTERLOCK_SECRETS": "/run/secrets"
            for name in file.ours()
            if name not in {"edge", "crm"}
        },
    }


def test_a_service_is_given_its_own_keys_and_its_own_database_and_nobody_else_s(
    file: Compose,
) -> None:
    for name in SERVICES:
        sources = {mount.source for mount in file.mounts(name)}
        assert f"{STATE}/keys/{name}" in sources
        others = [
            source
            for source in sources
            for other in SERVICES
            if other != name
            and source in {f"{STATE}/keys/{other}", f"{STATE}/secrets/{other}_database_url"}
        ]
        assert not others, name
        assert all(mount.read_only for mount in file.mounts(name) if "keys" in mount.source)


def test_figures_are_kept_for_prometheus_which_shows_its_token(file: Compose) -> None:
    scrape = YAML(typ="safe", pure=True).load(ROOT / "deploy" / "prometheus" / "prometheus.yml")
    (job,) = scrape["scrape_configs"]
    assert {*job["dns_sd_configs"][0]["names"]} == {*SERVICES}
    shown = job["authorization"]["credentials_file"]
    secret = f"{STATE}/secrets/metrics_token"
    assert {mount.target for mount in file.mounts("prometheus") if mount.source == secret} == {
        shown
    }
    owner = file.services["edge"]["user"]
    assert file.services["prometheus"]["user"] == owner, "who may read the secrets' files"
    for name in SERVICES:
        (mount,) = [mount for mount in file.mounts(name) if mount.source == secret]
        assert mount.target == "/run/secrets/interlock_metrics_token", name


def test_every_file_that_is_mounted_is_committed_or_made(file: Compose, tmp_path: Path) -> None:
    state = tmp_path / "state"
    made = subprocess.run(
        [ROOT / "deploy" / "secrets.sh", state], capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr
    for name in file.services:
        for mount in file.mounts(name):
            source = Path(mount.source.replace(STATE, str(state)))
            assert (ROOT / source).exists(), f"{name}: {mount.source}"
    secret = [path for path in state.rglob("*") if path.is_file()]
    assert secret
    assert {path.stat().st_mode & 0o777 for path in secret} == {0o600}
    before = {path: path.read_bytes() for path in secret}
    subprocess.run([ROOT / "deploy" / "secrets.sh", state], capture_output=True, check=True)
    assert {path: path.read_bytes() for path in secret} == before
    assert "${" not in (state / "keycloak" / "interlock-realm.json").read_text()


# -- settings ---------------------------------------------------------------------------------


def known() -> set[str]:
    """Every variable that our code reads by its settings."""
    return {
        f"{one.model_config.get('env_prefix', '')}{field}".upper()
        for one in SETTINGS
        for field in one.model_fields
    }


def test_every_variable_of_ours_is_a_setting_of_our_code(file: Compose) -> None:
    used = {key for name in file.ours() for key in file.environment(name)}
    ours = {key for key in used if key.startswith("INTERLOCK_")}
    assert ours
    assert not ours - known()
    assert used - ours == {
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OTEL_TRACES_SAMPLER",
        "AWS_SHARED_CREDENTIALS_FILE",
        "AWS_EC2_METADATA_DISABLED",
    }


@pytest.mark.parametrize("name", SERVICES)
def test_the_settings_of_a_service_can_be_read(
    file: Compose, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for key, value in file.environment(name).items():
        monkeypatch.setenv(key, value)
    monkeypatch.setenv("INTERLOCK_SECRETS", str(tmp_path))
    settings = SuiteSettings()
    assert (settings.embedded, settings.port) == (False, 8080)
    own = {"audit": Audit, "auth": Auth, "gateway": Gateway, "invocation": Invocation}
    {**own, "policy": Policy, "registry": Registry}[name]()


def test_the_edge_knows_where_each_service_is(
    file: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    routes = json.loads(file.environment("edge")["INTERLOCK_EDGE_ROUTES"])
    assert routes == {name: f"http://{name}:8080" for name in SERVICES}


# -- the rest of the folder -------------------------------------------------------------------


def test_the_dockerfile_passes_hadolint() -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    found = subprocess.run(
        [hadolint, ROOT / "Dockerfile"], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stdout


def entries(lock: Path) -> dict[str, str]:
    """Each pinned package with its hashes."""
    found = re.split(r"(?m)^(?=[a-z0-9])", lock.read_text("utf-8"))
    return {entry.partition("==")[0]: entry for entry in found if "==" in entry}


@pytest.mark.parametrize("lock", ["service", "build"])
def test_an_image_is_made_of_what_the_suite_s_lock_pins(lock: str) -> None:
    whole = entries(ROOT / "requirements.lock")
    part = entries(ROOT / "deploy" / "locks" / f"{lock}.lock")
    assert part
    assert {name for name, entry in part.items() if whole.get(name) != entry} == set()


def digests() -> Iterator[tuple[str, str]]:
    for line in (ROOT / "deploy" / "images.lock").read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            image, _, digest = line.partition(" ")
            yield image, digest


def test_every_image_that_is_pulled_has_its_line_in_the_lock_of_digests(file: Compose) -> None:
    pulled = {
        one["image"] for one in file.services.values() if not one["image"].startswith("interlock/")
    }
    base = re.search(r"(?m)^ARG BASE_IMAGE=(\S+)$", (ROOT / "Dockerfile").read_text("utf-8"))
    assert base is not None
    assert PINNED.match(base[1])
    locked: dict[str, Any] = dict(digests())
    assert locked.keys() == pulled | {base[1]}
    for digest in locked.values():
        assert digest == "unresolved" or re.fullmatch(r"sha256:[0-9a-f]{64}", digest)
