"""Programs in Java, which tests start often and run briefly; and Maven, which fetches them."""

import os
import shutil
import subprocess
from pathlib import Path

from tests.components.required import Missing

QUICK = (
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:+UnlockDiagnosticVMOptions",
    "-XX:-BytecodeVerificationRemote",
)
"""To spare a start what only pays off later; Maven has compared the checksums of what is run."""
FETCH = 300.0
"""Seconds that Maven may take."""


def require_java() -> None:
    """`Missing` where there is none."""
    if shutil.which("java") is None:
        raise Missing("no `java` on PATH: install a Java 17 runtime")


def fetch(what: str, *goal: str, cwd: Path | None = None) -> None:
    """Have Maven reach its goal. `Missing`, which names `what` is wanted, where it does not."""
    if shutil.which("mvn") is None:
        raise Missing(f"no `mvn` on PATH: install Maven, which fetches {what} once")
    given = os.environ.get("MAVEN_OPTS", "").split()
    done = subprocess.run(
        ["mvn", "-q", "-B", *goal],
        cwd=cwd,
        env=os.environ | {"MAVEN_OPTS": " ".join((*QUICK, *given))},
        capture_output=True,
        text=True,
        timeout=FETCH,
        check=False,
    )
    if done.returncode != 0:
        raise Missing(f"Maven could not fetch {what}: {done.stdout.strip()[-1500:]}")
