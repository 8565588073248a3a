"""Where the two planes are (DESIGN §2): the bus, and the Redis of published state."""

import json
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from urllib.parse import urlsplit

from interlock.bus.opening import REDIS
from interlock.embedded import attach, valkey
from interlock.embedded.folder import IN_USE
from interlock.errors import Refused
from interlock.runtime.settings import SuiteSettings

NOTE = "suite.json"
"""File of the data folder of a suite with a Valkey server of its own."""


@dataclass(frozen=True)
class Planes:
    """Their URLs."""

    bus_url: str
    redis_url: str


async def open_planes(
    settings: SuiteSettings, stack: AsyncExitStack, *, join: bool = False
) -> Planes:
    """What the settings name; embedded, a Valkey server of our own is what they do not name.

    `join`: the server of a suite that runs on the same data folder will do; else that is `Refused`.
    """
    bus_url, redis_url = settings.bus_url, settings.redis_url
    if redis_url is None and bus_url is not None and urlsplit(bus_url).scheme in REDIS:
        redis_url = bus_url
    if redis_url is None:
        redis_url = await _embedded(settings, stack, join)
    return Planes(bus_url or redis_url, redis_url)


async def bus_alone(settings: SuiteSettings, stack: AsyncExitStack) -> str:
    """The bus's URL, for those who need nothing else."""
    return settings.bus_url or (await open_planes(settings, stack, join=True)).bus_url


async def _embedded(settings: SuiteSettings, stack: AsyncExitStack, join: bool) -> str:
    if not settings.embedded:
        raise Refused(
            "`INTERLOCK_REDIS_URL` is not set; name the Redis of the state plane, or set "
            "`INTERLOCK_EMBEDDED=true` to run one here"
        )
    folder = settings.data / "valkey"
    try:
        url = (await stack.enter_async_context(valkey(folder))).url
    except Refused as error:
        if not join or error.code != IN_USE:
            raise
        _agree(settings)
        return await attach(folder)
    _note(settings)
    return url


def _note(settings: SuiteSettings) -> None:
    """Say in the data folder where this suite works, for those who join it."""
    (settings.data / NOTE).write_text(json.dumps(_meeting(settings)), "utf-8")


def _agree(settings: SuiteSettings) -> None:
    """`Refused` where the suite on the data folder works elsewhere: nobody would hear of us."""
    note, ours = settings.data / NOTE, _meeting(settings)
    theirs = json.loads(note.read_text("utf-8")) if note.exists() else ours
    if theirs != ours:
        raise Refused(
            f"the suite on data folder `{settings.data}` works on {_told(theirs)}, this process "
            f"would work on {_told(ours)}: set `INTERLOCK_BUS_URL` and `INTERLOCK_PREFIX` as they "
            "are for the suite"
        )


def _meeting(settings: SuiteSettings) -> dict[str, str]:
    """What processes of one suite have in common, whichever way each reaches the bus."""
    url = urlsplit(settings.bus_url or "")
    return {"transport": url.scheme, "path": url.path, "prefix": settings.prefix}


def _told(meeting: Mapping[str, str]) -> str:
    bus = f"`{meeting['transport']}:` {meeting['path']}".strip() if meeting["transport"] else ""
    return f"{bus or 'the embedded bus'} with prefix `{meeting['prefix']}`"


def without_secret(url: str) -> str:
    """A URL as it may be shown."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"
