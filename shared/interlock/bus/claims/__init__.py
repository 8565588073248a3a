"""Claim check: bodies too large for a broker lie in S3 or a folder, named by their SHA-256.

Nothing here deletes them: several groups, and dead letters, refer to one object. Let the store
expire them, later than the topology's retention and the dead letters' together (28 days on SQS).
"""

from pathlib import Path
from urllib.parse import urlsplit

from interlock.bus.claims.folder import FolderClaims
from interlock.bus.claims.store import Claims
from interlock.errors import Refused

__all__ = ["Claims", "FolderClaims", "open_claims"]


def open_claims(url: str) -> Claims:
    """The store at `s3://bucket/prefix` or `/a/folder`."""
    if url.startswith("s3://"):
        parts = urlsplit(url)
        if not parts.netloc:
            raise Refused(f"`{url}` names no bucket; give `s3://bucket/prefix`")
        from interlock.bus.claims.s3 import S3Claims  # noqa: PLC0415 - an extra

        return S3Claims(parts.netloc, parts.path.strip("/"))
    return FolderClaims(Path(url))
