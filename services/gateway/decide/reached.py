"""By which names the door may be called, and from whose pages: against DNS rebinding, by which a
stranger's page reaches a door that only listens where no stranger can (MCP, "Security Warning")."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from interlock.errors import Refused

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True)
class Reached:
    """What is right for one door."""

    hosts: frozenset[str] | None
    """Names without ports; None where nobody told us ours."""
    origins: frozenset[str]
    """RFC 6454 §7."""

    def require_host(self, given: Sequence[str]) -> None:
        """`Refused` (`misdirected`) unless the one `Host` of a request is ours."""
        named = _name(given[0]) if len(given) == 1 else None
        if named is None or (self.hosts is not None and named not in self.hosts):
            said = ", ".join(f"`{one[:200]}`" for one in given) or "nothing"
            raise Refused(f"this is not {said}; see `public_url`", code="misdirected")

    def require_origin(self, given: str | None) -> None:
        """`Refused` (`forbidden`) if a page calls that may not."""
        if given is not None and given not in self.origins:
            raise Refused(f"pages of `{given[:200]}` may not call this", code="forbidden")


def reached(
    url: str, *, told: bool, hosts: Sequence[str] = (), origins: Sequence[str] = ()
) -> Reached:
    """The door at `url` and by what settings allow beside it.

    Without a public URL (`told`) a door on loopback is that machine's alone, and any other has
    names that we cannot know.
    """
    parts = urlsplit(url)
    own = (parts.hostname or "").lower()
    names: frozenset[str] | None = frozenset({own, *(one.lower() for one in hosts)})
    if own in LOOPBACK:
        names = LOOPBACK | frozenset(one.lower() for one in hosts)
    elif not told and not hosts:
        names = None
    return Reached(names, frozenset({f"{parts.scheme}://{parts.netloc}", *origins}))


def _name(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None
