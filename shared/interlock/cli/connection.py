"""How a command reaches the suite."""

import asyncio
import os
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from interlock.cli.output import CANNOT, NO, say
from interlock.errors import InterlockError, Refused

if TYPE_CHECKING:
    from interlock.sdk import Interlock

T = TypeVar("T")
DEFAULT_URL = "http://127.0.0.1:8080"

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


@dataclass(frozen=True)
class Target:
    """Where the suite is, and as whom to speak to it."""

    url: str
    token: str | None
    data: Path

    def credential(self) -> str:
        """The given token, else the operator's key that the first start wrote."""
        if self.token:
            return self.token
        path = self.data / "operator.key"
        try:
            return path.read_text("utf-8").strip()
        except OSError:
            raise Refused(
                f"there is no token: give `--token` or `INTERLOCK_TOKEN` (no operator's key at "
                f"`{path}`)"
            ) from None


def target(url: str | None, token: str | None, data: Path | None) -> Target:
    """From options, else from the environment, else the defaults."""
    return Target(
        url or os.environ.get("INTERLOCK_URL") or DEFAULT_URL,
        token or os.environ.get("INTERLOCK_TOKEN"),
        data or Path(os.environ.get("INTERLOCK_DATA", ".interlock")),
    )


def ask(context: typer.Context, work: "Callable[[Interlock], Awaitable[T]]") -> T:
    """Run `work` with a client of the suite; an error is one line.

    Exit code 1 where the suite refused it, 2 where it could not be asked.
    """
    chosen: Target = context.obj
    credential = answered(chosen.credential)

    async def main() -> T:
        from interlock.sdk import Interlock  # noqa: PLC0415 half a second that `--help` saves

        async with Interlock(chosen.url, credential) as client:
            return await work(client)

    return answered(lambda: asyncio.run(main()), refused=NO)


def request(context: typer.Context, method: str, path: str, body: Any = None, wait: int = 0) -> Any:
    """One request's JSON answer."""
    headers = {"Prefer": f"wait={wait}"} if wait else {}
    return ask(context, lambda client: client.request(method, path, body, headers))


def answered(work: Callable[[], T], *, refused: int = CANNOT) -> T:
    """What `work` returns; an error that is told on purpose is one line and an exit code."""
    try:
        return work()
    except InterlockError as error:
        say(f"interlock: {error.detail}")
        for one in _violations(error):
            say(f"  {one}")
        raise typer.Exit(refused if isinstance(error, Refused) else CANNOT) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def _violations(error: InterlockError) -> list[str]:
    """All that was wrong with a request, where the sentence does not tell it."""
    found: Any = error.data.get("violations", [])
    told = [f"`{one['at']}`: {one['what']}" for one in found]
    return [one for one in told if one not in error.detail]


def seconds(text: str) -> float:
    """`90`, `90s`, `15m`, `2h`, `1d` in seconds."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text)
    if found is None:
        raise typer.BadParameter(f"`{text}` is no time; write `90s`, `15m`, `2h` or `1d`")
    return float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}[found[2]]
