"""`interlock demo`: agents call real tools through a real suite, and every step is checked."""

from interlock.demo.play import run_demo

__all__ = ["run_demo"]
