"""docker-compose.yml as it is meant: merged, interpolated, asked for what a service is given."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.yml"
VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*)|:\?([^}]*))?\}")
OURS = "interlock/"
"""Before the names of images that the file builds."""


@dataclass(frozen=True)
class Mount:
    """Something of the host's that a container sees."""

    source: str
    target: str
    read_only: bool


@dataclass(frozen=True)
class Compose:
    """The document."""

    document: Mapping[str, Any]

    @property
    def services(self) -> Mapping[str, Mapping[str, Any]]:
        found: Mapping[str, Mapping[str, Any]] = self.document["services"]
        return found

    def ours(self) -> list[str]:
        """The services that run our code, in the file's order."""
        return [name for name, one in self.services.items() if self._runs_us(one)]

    def jobs(self) -> list[str]:
        """Those of them that end."""
        return [name for name in self.ours() if self.services[name].get("restart") == "no"]

    def environment(self, name: str) -> dict[str, str]:
        """What a container finds in its environment."""
        return {
            key: str(value) for key, value in self.services[name].get("environment", {}).items()
        }

    def mounts(self, name: str) -> Iterator[Mount]:
        """Files and folders of the host; named volumes are left out."""
        service = self.services[name]
        for text in service.get("volumes", ()):
            source, target, *mode = text.split(":")
            if source.startswith((".", "/")):
                yield Mount(source, target, mode == ["ro"])
        for one in service.get("secrets", ()):
            long = one if isinstance(one, Mapping) else {"source": one, "target": one}
            file = self.document["secrets"][long["source"]]["file"]
            yield Mount(file, f"/run/secrets/{long['target']}", True)

    @staticmethod
    def _runs_us(service: Mapping[str, Any]) -> bool:
        return service["image"].startswith(OURS) and service.get("entrypoint") != ["/bin/true"]


def compose(variables: Mapping[str, str], path: Path = FILE) -> Compose:
    """The file, with `variables` where it asks for some (Compose specification, 12)."""
    document = YAML(typ="safe", pure=True).load(path.read_text("utf-8"))
    return Compose(_interpolated(document, variables))


def _interpolated(value: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        return {key: _interpolated(one, variables) for key, one in value.items()}
    if isinstance(value, list):
        return [_interpolated(one, variables) for one in value]
    if isinstance(value, str):
        return VARIABLE.sub(lambda found: _variable(found, variables), value)
    return value


def _variable(found: "re.Match[str]", variables: Mapping[str, str]) -> str:
    name, otherwise, complaint = found.groups()
    if variables.get(name):
        return variables[name]
    if complaint is not None:
        raise KeyError(f"{name}: {complaint}")
    return otherwise or ""
