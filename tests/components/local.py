"""`make up-local`: the set of docker-compose.yml as processes, where there is no Docker engine.

Our services run with exactly the environment that the file gives their containers; only the places
in it are rewritten: hosts and ports to loopback, paths in containers to what is mounted there. So
the two cannot drift. Kafka, PostgreSQL, Valkey and Keycloak are real ones of this machine.

What only shows what the others do stays out (collector, Jaeger, Prometheus, Grafana): then there is
nobody to send traces to.
"""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from interlock.embedded.binary import find_server
from interlock.embedded.tie import die_with_parent
from tests.components import keycloak, postgres
from tests.components.compose import ROOT, Compose, Mount, compose
from tests.components.kafka import Broker, jars
from tests.components.ports import lasting_port
from tests.components.suite import answers, until

PORTS = {"kafka": 9092, "valkey": 6379, "postgres": 5432, "keycloak": 8180, "crm": 9101}
"""Where containers listen; ours at 8080."""
DOOR = 8080
ABSENT = ("collector", "jaeger", "prometheus", "grafana")
NOWHERE = ("OTEL_EXPORTER_OTLP_ENDPOINT",)
"""Variables that name somebody who is absent."""
PROGRAMS: Mapping[str, tuple[str, ...]] = {
    "/opt/interlock/bin/interlock": (sys.executable, "-P", "-m", "interlock.cli"),
    "/opt/interlock/bin/python": (sys.executable,),
}
"""Of the image, and of this machine."""


@dataclass
class Local:
    """The set, in one folder; ports stay the same from start to start."""

    folder: Path
    wanted: Mapping[str, int] = field(default_factory=dict)
    """Ports that must be these, by the name of the service."""
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder = self.folder.absolute()
        variables = {"INTERLOCK_UID": "1", "INTERLOCK_GID": "1"}
        self.compose: Compose = compose(variables | {"INTERLOCK_STATE": str(self.folder)})
        self.ports = self._ports()

    @property
    def url(self) -> str:
        """Of the edge, as callers name it."""
        return f"http://localhost:{self.ports['edge']}"

    @property
    def keycloak(self) -> str:
        return f"http://localhost:{self.ports['keycloak']}"

    @property
    def upstream(self) -> str:
        """The sample CRM's MCP endpoint."""
        return f"http://127.0.0.1:{self.ports['crm']}/mcp"

    @property
    def realm(self) -> Path:
        """The file of the realm's passwords and secrets."""
        return self.folder / "secrets" / "realm"

    def log(self, name: str) -> Path:
        return self.folder / "log" / f"{name}.log"

    def start(self, name: str) -> None:
        """Start one of our services as its container would be."""
        with self.log(name).open("ab") as log:
            self.processes[name] = subprocess.Popen(
                self.command(name),
                env=self.environment(name),
                cwd=ROOT,
                stdout=log,
                stderr=log,
                preexec_fn=partial(die_with_parent, signal.SIGKILL),  # noqa: PLW1509 no threads
            )

    def stop(self) -> None:
        """Tell all of ours to stop, and wait: they finish what they have in hand."""
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            process.wait()

    def died(self) -> str | None:
        """The name of a service that has ended though it should not."""
        ended = (name for name, one in self.processes.items() if one.poll() is not None)
        return next(ended, None)

    # -- as the compose file says, here ---------------------------------------------------------

    def command(self, name: str) -> list[str]:
        """What its container runs."""
        service = self.compose.services[name]
        given = service.get("entrypoint")
        if given is None:
            return [sys.executable, "-P", "-m", f"services.{name}"]
        words = [*PROGRAMS[given[0]], *given[1:], *service.get("command", ())]
        return [self.rewritten(name, word) for word in words]

    def environment(self, name: str) -> dict[str, str]:
        """What its container finds there, and nothing else of ours."""
        given = self.compose.environment(name)
        told = {key: self.rewritten(name, given[key]) for key in given if key not in NOWHERE}
        if name in self.ports and "INTERLOCK_PORT" in told:
            told["INTERLOCK_PORT"] = str(self.ports[name])
        return {"PATH": os.environ["PATH"], "HOME": str(self.folder / "home"), **told}

    def rewritten(self, name: str, text: str) -> str:
        """A word of a container's command, environment or configuration as it holds here."""
        places = {mount.target: mount.source for mount in self._mounts(name)}
        places["/tmp/interlock"] = str(self.folder / "data" / name)
        longest = sorted(map(re.escape, places), key=len, reverse=True)
        known = re.compile(rf"({'|'.join(longest)})(?![\w.-])")
        text = known.sub(lambda found: places[found[1]], text)
        for host, port in (*self._inside(), *self._outside()):
            text = re.sub(rf"(?<![\w.-]){host[0]}:{host[1]}\b", f"{port[0]}:{port[1]}", text)
        if name in PORTS:
            text = re.sub(rf"\b{PORTS[name]}\b(?![.:])", str(self.ports[name]), text)
        return text.replace("0.0.0.0", "127.0.0.1")

    def _inside(self) -> Iterator[tuple[tuple[str, int], tuple[str, int]]]:
        for name in self.compose.services:
            if name in self.ports:
                yield (name, PORTS.get(name, DOOR)), ("127.0.0.1", self.ports[name])

    def _outside(self) -> Iterator[tuple[tuple[str, int], tuple[str, int]]]:
        """As the host names what is published."""
        yield ("localhost", DOOR), ("localhost", self.ports["edge"])
        yield ("localhost", PORTS["keycloak"]), ("localhost", self.ports["keycloak"])

    def _mounts(self, name: str) -> list[Mount]:
        """Files that say where something is are rewritten into `here/`."""
        found = []
        for mount in self.compose.mounts(name):
            source = Path(ROOT, mount.source)
            if mount.target.startswith("/run/secrets/") or source.suffix == ".json":
                source = self._copied(name, source, Path(mount.target).name)
            found.append(Mount(str(source), mount.target, mount.read_only))
        if any(mount.target.startswith("/run/secrets/") for mount in found):
            found.append(Mount(str(self.folder / "here" / name), "/run/secrets", True))
        return found

    def _copied(self, name: str, source: Path, target: str) -> Path:
        copy = self.folder / "here" / name / target
        if not copy.exists():
            copy.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            text = source.read_text("utf-8")
            for host, port in (*self._inside(), *self._outside()):
                text = text.replace(f"{host[0]}:{host[1]}", f"{port[0]}:{port[1]}")
            copy.touch(0o600)
            copy.write_text(text, "utf-8")
        return copy

    def _ports(self) -> dict[str, int]:
        kept = self.folder / "ports.json"
        known: dict[str, int] = json.loads(kept.read_text()) if kept.exists() else {}
        named = [*PORTS, *(one for one in self.compose.ours() if one not in self.compose.jobs())]
        ports = {name: lasting_port() for name in named} | known | dict(self.wanted)
        self.folder.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(ports))
        return ports


def prepared(folder: Path, wanted: Mapping[str, int] | None = None) -> Local:
    """The set with its keys, passwords and realm, and nothing of it started."""
    here = Local(folder, wanted or {})
    subprocess.run([ROOT / "deploy" / "secrets.sh", here.folder], check=True, capture_output=True)
    for path in (here.folder, here.folder / "data"):
        path.chmod(0o711)  # so that PostgreSQL, which is never root, finds its own folder
    (here.folder / "log").mkdir(exist_ok=True)
    return here


@contextmanager
def local(here: Local, issuer: keycloak.Keycloak) -> Iterator[None]:
    """The set, ready; `issuer` is its Keycloak, the slowest of it, on its way (`issuing`).

    `Missing` where this machine lacks a part; stopped when the block ends.
    """
    with ExitStack() as stack:
        stack.enter_context(_infrastructure(here))
        for job in here.compose.jobs():
            here.start(job)
            code = here.processes.pop(job).wait()
            if code:
                raise RuntimeError(
                    f"`{job}` ended with {code}: {here.log(job).read_text()[-2000:]}"
                )
        stack.callback(here.stop)
        lasting = [name for name in here.compose.ours() if name not in here.compose.jobs()]
        for name in lasting:
            here.start(name)
        for name in lasting:
            _await(here, name)
        issuer.ready()
        yield


def _await(here: Local, name: str) -> None:
    base = f"http://127.0.0.1:{here.ports[name]}"
    path = "/mcp" if name == "crm" else "/health/ready"

    def there() -> bool:
        status = answers(base + path)
        return status > 0 if name == "crm" else status == 200

    until(there, f"`{name}` is ready", here.processes[name], here.log(name), 90)


@contextmanager
def _infrastructure(here: Local) -> Iterator[None]:
    with ExitStack() as stack:
        data = here.folder / "data" / "kafka"
        broker = Broker(data, jars(), _kafka_settings(), port=here.ports["kafka"])
        stack.callback(broker.stop)
        broker.start()
        stack.enter_context(_valkey(here))
        stack.enter_context(_postgres(here))
        yield


def _kafka_settings() -> dict[str, str]:
    """Those of its container; `Broker` knows what the words in capitals are here."""
    text = (ROOT / "deploy" / "kafka" / "server.properties").read_text("utf-8")
    for there, here in (
        ("localhost:9093", "127.0.0.1:CONTROLLER_PORT"),
        ("kafka:9092", "127.0.0.1:PORT"),
        ("//:9092", "//127.0.0.1:PORT"),
        ("/var/lib/kafka/data", "DATA"),
    ):
        text = text.replace(there, here)
    lines = (line.partition("=") for line in text.splitlines() if line and line[0] != "#")
    return {name: value for name, _, value in lines}


@contextmanager
def _postgres(here: Local) -> Iterator[None]:
    """With the roles and databases that the container's first start makes."""
    home, port = here.folder / "data" / "postgres", here.ports["postgres"]
    with postgres.kept(home, port, "listen_addresses=127.0.0.1"):
        if not postgres.query(home, port, "-c", "SELECT 1 FROM pg_roles WHERE rolname = 'policy'"):
            postgres.query(home, port, "-f", str(here.folder / "secrets" / "databases.sql"))
        yield


@contextmanager
def _valkey(here: Local) -> Iterator[None]:
    """Valkey with the file that its container reads."""
    text = (ROOT / "deploy" / "valkey" / "valkey.conf").read_text("utf-8")
    settings = here.folder / "here" / "valkey.conf"
    rewritten = here.rewritten("valkey", text).replace("bind * -::*", "bind 127.0.0.1")
    settings.write_text(rewritten, "utf-8")
    with (
        here.log("valkey").open("ab") as log,
        subprocess.Popen(
            [asyncio.run(find_server()), settings],
            stdout=log,
            stderr=log,
            preexec_fn=partial(die_with_parent, signal.SIGKILL),  # noqa: PLW1509 no threads
        ) as process,
    ):
        try:
            yield
        finally:
            process.terminate()
            process.wait()


@contextmanager
def issuing(here: Local) -> Iterator[keycloak.Keycloak]:
    """Its Keycloak, on its way."""
    home = here.folder / "keycloak-home"
    (home / "data").mkdir(parents=True, exist_ok=True)
    if not (home / "data" / "import").exists():
        (home / "data" / "import").symlink_to(here.folder / "keycloak")
    told = (line.partition("=") for line in here.realm.read_text("utf-8").splitlines())
    given = here.compose.environment("keycloak")
    names = {"KC_HOSTNAME", "KC_HOSTNAME_BACKCHANNEL_DYNAMIC"}
    with keycloak.running(
        home,
        made={name: value for name, _, value in told},
        realm="interlock",
        port=here.ports["keycloak"],
        env={name: here.rewritten("keycloak", given[name]) for name in names},
    ) as server:
        yield server


def main() -> None:
    """Until Ctrl-C, or until a part of it dies."""
    folder = ROOT / ".interlock-local"
    stopped: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: stopped.append(number))
    say("starting Kafka, PostgreSQL, Valkey, Keycloak and the services: about a minute")
    here = prepared(folder, {"edge": DOOR, "keycloak": PORTS["keycloak"]})
    with issuing(here) as issuer, local(here, issuer):
        say(f"interlock is up at {here.url} (MCP: {here.url}/mcp, docs: /docs); logs: {folder}/log")
        say(f"keycloak: {here.keycloak}/realms/interlock; who may sign in: {here.realm}")
        say(f"sample upstream: {here.upstream}")
        say(f"not here, for want of containers: {', '.join(ABSENT)}; traces go nowhere")
        say(f"try it: make smoke ARGS='--upstream {here.upstream} --realm {here.realm}'")
        while not stopped and (died := here.died()) is None:
            time.sleep(0.2)
        if not stopped:
            say(f"`{died}` has died: {here.log(str(died)).read_text()[-2000:]}")
        say("stopping")
    raise SystemExit(0 if stopped else 1)


def say(text: str) -> None:
    """For people, on standard error."""
    sys.stderr.write(text + "\n")


if __name__ == "__main__":
    main()
