"""A private Keycloak, in memory, with one realm: an OpenID Connect provider that is not ours.

Its distribution comes from Maven Central once, into `.cache/`. A start takes some 20 s of CPU, so
one serves the whole run: that of the set of docker-compose.yml (fixture `keycloak_server`). Tests
that change it make clients of their own.
"""

import fcntl
import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx2 as httpx

from interlock.embedded.tie import die_with_parent
from tests.components.java import QUICK, fetch, require_java
from tests.components.ports import lasting_port
from tests.components.required import Missing
from tests.components.signing_in import client_token, token_of
from tests.components.suite import answers, until

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache"
ARTIFACT = "org.keycloak:keycloak-quarkus-dist"
VERSION = "26.4.5"
PATIENCE = 300.0
"""Seconds that a fetch, a build or a start may take on a loaded machine."""
ADMIN = "admin"
JAVA = (
    *QUICK,
    "-Djava.util.logging.manager=org.jboss.logmanager.LogManager",
    "--add-opens=java.base/java.util=ALL-UNNAMED",
    "--add-opens=java.base/java.util.concurrent=ALL-UNNAMED",
    "--add-opens=java.base/java.security=ALL-UNNAMED",
)
MAIN = "io.quarkus.bootstrap.runner.QuarkusEntryPoint"
SMALL = ("-Xms128m", "-Xmx384m")
AMPLE = ("-Xms512m", "-Xmx1g", "-Xmn300m")
"""For the build, which would spend a fifth of its time on its garbage."""
BUILT_WITH = ("--db=dev-mem", "--health-enabled=true")


@dataclass(frozen=True)
class Keycloak:
    """A running server and the realm that it was given."""

    url: str
    """As browsers and tokens name it."""
    realm: str
    secrets: Mapping[str, str] = field(repr=False)
    """What stands in the realm, by the placeholder's name."""
    admin_password: str = field(repr=False)
    process: "subprocess.Popen[bytes]" = field(repr=False)
    log: Path

    def ready(self) -> None:
        """Wait until the realm is there; `Missing` where it will never be."""
        found = f"{self.issuer}/.well-known/openid-configuration"
        try:
            until(
                lambda: answers(found) == 200, "Keycloak answers", self.process, self.log, PATIENCE
            )
        except RuntimeError as error:
            raise Missing(str(error)) from None

    @property
    def issuer(self) -> str:
        return f"{self.url}/realms/{self.realm}"

    @property
    def foreign(self) -> str:
        """The issuer of another realm of the same server."""
        return f"{self.url}/realms/master"

    def secret(self, client: str) -> str:
        """A client's secret."""
        return self.secrets[f"{client.upper().replace('-', '_')}_SECRET"]

    def password(self, user: str) -> str:
        """A user's password."""
        return self.secrets[f"{user.upper()}_PASSWORD"]

    def client_token(self, client: str, secret: str | None = None, scope: str = "") -> str:
        """An access token of a client itself; `scope` may be asked for."""
        return client_token(self.issuer, client, secret or self.secret(client), scope)

    def admin_token(self) -> str:
        """Of the server's administrator, who is of realm `master`."""
        form = {"grant_type": "password", "client_id": "admin-cli"}
        return token_of(self.foreign, {**form, "username": ADMIN, "password": self.admin_password})

    def admin(self, method: str, path: str, body: Any = None) -> Any:
        """The admin API's answer; `path` is relative to the realm, as `/clients`."""
        url = f"{self.url}/admin/realms/{self.realm}"
        with httpx.Client(base_url=url, timeout=PATIENCE) as http:
            token = {"Authorization": f"Bearer {self.admin_token()}"}
            answer = http.request(method, path, json=body, headers=token)
        answer.raise_for_status()
        return answer.json() if answer.content else None


@contextmanager
def running(
    folder: Path,
    *,
    made: Mapping[str, str],
    realm: str,
    port: int,
    env: Mapping[str, str],
) -> Iterator[Keycloak]:
    """A server whose home is `folder`; it imports the realms in `data/import` there, whose secrets
    are `made`.

    It is on its way: `Keycloak.ready` waits.
    """
    for part in ("conf", "lib", "providers", "themes", "version.txt"):
        if not (folder / part).exists():
            (folder / part).symlink_to(distribution() / part)
    password = secrets.token_hex(16)
    options = (
        "--optimized",
        "--cache=local",
        "--http-enabled=true",
        "--hostname-strict=false",
        "--http-host=127.0.0.1",
        f"--http-port={port}",
        f"--http-management-port={lasting_port()}",
        "--import-realm",
    )
    admin = {"KC_BOOTSTRAP_ADMIN_USERNAME": ADMIN, "KC_BOOTSTRAP_ADMIN_PASSWORD": password}
    told, log = admin | dict(env), folder / "log"
    words = ("start", *options)
    with log.open("w") as out, _java(folder, out, SMALL, words, told) as process:
        try:
            yield Keycloak(f"http://localhost:{port}", realm, made, password, process, log)
        finally:
            process.kill()  # all that it has is in memory
            process.wait()


def _java(
    home: Path, out: Any, memory: Sequence[str], words: Sequence[str], env: Mapping[str, str]
) -> "subprocess.Popen[bytes]":
    """Keycloak's command as its script runs it, but as a child of ours."""
    where = (f"-Dkc.home.dir={home}", f"-Djboss.server.config.dir={home / 'conf'}")
    jar = ("-cp", str(home / "lib" / "quarkus-run.jar"))
    return subprocess.Popen(
        [
            "java",
            *memory,
            *JAVA,
            *where,
            *jar,
            "io.quarkus.bootstrap.runner.QuarkusEntryPoint",
            *words,
        ],
        stdout=out,
        stderr=out,
        env=os.environ | dict(env),
        preexec_fn=partial(die_with_parent, signal.SIGKILL),  # noqa: PLW1509 - no threads
    )


def distribution() -> Path:
    """The unpacked and built distribution; made by whoever comes first."""
    require_java()
    folder = CACHE / f"keycloak-{VERSION}"
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "keycloak.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "built").exists():
            shutil.rmtree(folder, ignore_errors=True)
            _fetch(folder)
            _build(folder)
            (folder / "built").touch()
    return folder


def _fetch(folder: Path) -> None:
    artifact = f"-Dartifact={ARTIFACT}:{VERSION}:zip"
    goal = ("dependency:unpack", artifact, f"-DoutputDirectory={CACHE}")
    markers = f"-DmarkersDirectory={CACHE / 'maven-markers'}"
    fetch("Keycloak", *goal, markers, "-Dmdep.overWriteReleases=true", cwd=CACHE)
    if not folder.exists():
        raise Missing(f"Maven fetched Keycloak, and there is no `{folder}`")


def _build(folder: Path) -> None:
    """Its settings of build time, once, rather than at each start."""
    log = folder / "build.log"
    words = ("build", *BUILT_WITH)
    with log.open("w") as out, _java(folder, out, AMPLE, words, {}) as process:
        if process.wait(PATIENCE) != 0:
            raise Missing(f"Keycloak could not be built: {log.read_text()[-500:]}")
