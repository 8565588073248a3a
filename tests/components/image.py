"""A container of one service's image, run for real: `tests/components/image.sh` builds it.

    python -m tests.components.image SERVICE CONTAINER ROOT -- buildah OPTIONS…

It starts as uid 10001, answers over HTTP, writes nowhere but below /tmp, and ends well on SIGTERM.
What it needs is a Valkey and keys that were dealt to it; its database is SQLite below /tmp.
"""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from interlock.cli.deploy import SIGNERS
from interlock.embedded.binary import find_server
from interlock.identity.keys import deal_keys
from tests.components.ports import lasting_port
from tests.components.scratch import reachable
from tests.components.suite import answers, until

UID = 10001
PATIENCE = 120.0
KEYS = "/run/interlock/keys"
OWN = ("tmp", "proc", "sys", "dev", "run", "etc/hosts", "etc/resolv.conf")
"""Below the root: what may be written, and what buildah itself mounts there."""


@dataclass(frozen=True)
class Box:
    """A container that buildah made of an image."""

    buildah: Sequence[str]
    name: str
    root: Path

    def command(self, environment: Sequence[str], keys: Path, *words: str) -> list[str]:
        """How it runs `words` as the image's user; on the host's network."""
        told = [part for one in environment for part in ("--env", one)]
        mounted = ["--volume", f"{keys}:{KEYS}:ro"]
        run = [*self.buildah, "run", "--isolation", "chroot", *told, *mounted]
        return [*run, self.name, "--", *words]

    def written(self, since: float) -> list[str]:
        """Files outside /tmp that were written since then."""
        found = []
        for folder, folders, files in os.walk(self.root):
            below = os.path.relpath(folder, self.root)
            folders[:] = [one for one in folders if os.path.normpath(f"{below}/{one}") not in OWN]
            paths = (Path(folder, one) for one in files)
            found += [str(path) for path in paths if path.lstat().st_mtime > since]
        return [one for one in found if os.path.relpath(one, self.root) not in OWN]


@contextmanager
def valkey() -> Iterator[str]:
    """The URL of an empty Valkey on loopback."""
    port = lasting_port()
    options = ("--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", "/tmp")
    with subprocess.Popen(
        [asyncio.run(find_server()), *options], stdout=subprocess.DEVNULL
    ) as server:
        try:
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            server.terminate()


def main(service: str, box: Box) -> None:
    """Say what was measured, or fail."""
    with reachable("interlock-image-") as folder, valkey() as url:
        deal_keys(folder, SIGNERS)
        keys, port = folder / service, lasting_port()
        for path in (keys, *keys.iterdir()):
            os.chown(path, UID, UID)
        environment = (
            f"INTERLOCK_BUS_URL={url}",
            f"INTERLOCK_KEYS={KEYS}",
            f"INTERLOCK_PORT={port}",
            "INTERLOCK_HOST=127.0.0.1",
        )
        began = time.time()
        apply = box.command(environment, keys, "/opt/interlock/bin/interlock", "bus", "apply")
        subprocess.run(apply, check=True, stdout=subprocess.DEVNULL)
        start = box.command(environment, keys, "/opt/interlock/bin/service")
        with subprocess.Popen(start) as process:
            try:
                run(service, process, f"http://127.0.0.1:{port}/health/ready")
            finally:
                process.kill()
        written = box.written(began)
        assert not written, f"it wrote outside /tmp: {written[:5]}"


def run(service: str, process: "subprocess.Popen[bytes]", health: str) -> None:
    """From its start until it ended on SIGTERM."""
    began = time.perf_counter()
    until(lambda: answers(health) == 200, "the container is ready", process, within=PATIENCE)
    say(f"ready in {time.perf_counter() - began:.1f} s")
    (inside,) = (
        one
        for one in psutil.Process(process.pid).children(recursive=True)
        if f"services.{service}" in one.cmdline()
    )
    assert inside.uids().effective == UID, inside.uids()
    say(f"uid {UID}, {inside.memory_info().rss / 1e6:.0f} MB resident")
    began = time.perf_counter()
    inside.send_signal(signal.SIGTERM)
    code = process.wait(PATIENCE)
    assert code == 0, f"it ended with {code}"
    say(f"drained and ended in {time.perf_counter() - began:.1f} s")


def say(text: str) -> None:
    """For people, on standard error."""
    sys.stderr.write(text + "\n")


if __name__ == "__main__":
    _, name, container, root, _, *buildah = sys.argv
    main(name, Box(buildah, container, Path(root)))
