"""A process that owns an embedded Valkey: `python -m tests.components.valkey FOLDER`.

It prints the server's URL, and stops at the end of its standard input, so that it never outlives
the test run; killed, it leaves what any killed owner leaves.
"""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from interlock.embedded import valkey
from interlock.errors import Refused, Unavailable
from tests.components.required import Missing

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Owner:
    """The running process and where its server answers."""

    process: subprocess.Popen[str]
    url: str


@contextmanager
def owner(data: Path) -> Iterator[Owner]:
    """A second process that owns the server of `data`. Missing, with its words, if it cannot."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.components.valkey", str(data)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        said = process.stdout.readline().strip()
        if not said.startswith("unix:"):
            raise Missing(said)
        yield Owner(process, said)


async def _own(data: Path) -> None:
    try:
        async with valkey(data) as server:
            sys.stdout.write(f"{server.url}\n")
            sys.stdout.flush()
            await _end_of_input()
    except (Refused, Unavailable) as error:
        sys.stdout.write(f"{error}\n")


async def _end_of_input() -> None:
    reader = asyncio.StreamReader()
    pipe, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    await reader.read()
    pipe.close()


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    asyncio.run(_own(Path(sys.argv[1])))
