"""Become another program that dies with the process that started it.

Run as a script between fork and exec, rather than as a `preexec_fn`, which may deadlock a process
that has threads. Only Linux can tie a child to its parent; elsewhere (macOS) the server outlives a
killed owner, and the next owner ends it (`ValkeyServer.start`).
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def die_with_parent(sig: signal.Signals) -> None:
    """Have the kernel send `sig` to this process once the thread that forked it ends (prctl(2))."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, sig)


def main(owner: int, program: str, *arguments: str) -> None:
    """Replace this process by `program`; everything that it creates is private to its user."""
    die_with_parent(signal.SIGKILL)
    if os.getppid() != owner:
        sys.exit(f"the owner `{owner}` ended before its server started")
    os.umask(0o077)
    os.execv(program, [program, *arguments])


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
