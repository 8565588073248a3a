"""URIs where many servers share one list: two may have the same, so each is qualified.

What a result names stays as the upstream wrote it, so a plain URI is understood too, where only one
server can be meant.
"""

import re
from functools import lru_cache

SCHEME = "interlock://"
VARIABLE = re.compile(r"\{[^{}]*\}")


def qualified(server: str, uri: str) -> str:
    """A URI, or a URI template, that says whose it is."""
    return f"{SCHEME}{server}/{uri}"


def split(uri: str) -> tuple[str, str] | None:
    """Server and URI of a qualified one; None where it is a plain one."""
    if not uri.startswith(SCHEME):
        return None
    server, found, rest = uri.removeprefix(SCHEME).partition("/")
    return (server, rest) if found and rest else None


def fits(template: str, uri: str) -> bool:
    """Whether a URI template (RFC 6570) may have become this URI: each variable stands for any."""
    return _pattern(template).fullmatch(uri) is not None


@lru_cache(maxsize=1024)
def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, VARIABLE.split(template))), re.DOTALL)
