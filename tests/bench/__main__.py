"""`make bench`: every figure that the design promises, as ratios against a raw baseline in one run.

`python -m tests.bench [name …]` runs some of: bus, bus-kafka, bus-sqs, storage, governed,
governed-2025, separate, edge, bulk, ledger, scale.
"""

import subprocess
import sys

BENCHES = {
    "bus": ("tests.bench.bus",),
    "bus-sqs": ("tests.bench.bus_sqs",),
    "bus-kafka": ("tests.bench.bus_kafka",),
    "storage": ("tests.bench.storage",),
    "governed": ("tests.bench.governed",),
    "governed-2025": ("tests.bench.governed", "--era", "2025-11-25"),
    "separate": ("tests.bench.governed", "--separate"),
    "edge": ("tests.bench.edge",),
    "bulk": ("tests.bench.bulk",),
    "ledger": ("tests.bench.ledger",),
    "scale": ("tests.bench.scale",),
}


def main() -> int:
    """Each bench is a process of its own; the worst exit code."""
    chosen = sys.argv[1:] or list(BENCHES)
    if unknown := [name for name in chosen if name not in BENCHES]:
        sys.stderr.write(f"there is no bench `{unknown[0]}`; there are {', '.join(BENCHES)}\n")
        return 2
    worst = 0
    for name in chosen:
        sys.stdout.write(f"== {name}\n")
        sys.stdout.flush()
        module, *arguments = BENCHES[name]
        ran = subprocess.run([sys.executable, "-m", module, *arguments], check=False)
        worst = max(worst, ran.returncode)
    return worst


if __name__ == "__main__":
    sys.exit(main())
