"""What the measurements share: a suite as a process of its own, and quantiles."""

from collections.abc import Sequence

from tests.components.suite import Suite, suite, upstream

__all__ = ["Suite", "quantile", "suite", "upstream"]


def quantile(values: Sequence[float], q: float) -> float:
    """The value below which a share `q` of them lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]
