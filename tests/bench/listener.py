"""What an idle listener costs: memory, CPU and calls, for one pool and for fifty, in the sandbox.

    cd tests && ../.sandbox/venv/bin/python -m bench.listener [BINARY]

Give it a release binary for figures that Lambda would show. The polls of a queue last as long as GitHub's, 50 s.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from bench.__main__ import cpu_ms, peak_kib
from sandbox.function import build
from sandbox.test_listener import Listeners
from sandbox.world import World

POLL_INTERVAL_SECS = "10"
MEASURED_SECS = 60
SETTLED_SECS = 5.0
POOL_COUNTS = (1, 50)


def process_of(world: World) -> int:
    """The function's process: the one that runs a binary of this world's."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            is_function = (entry / "exe").readlink().name == "bootstrap"
        except (OSError, IndexError):
            continue
        if parent == world.pid and is_function:
            return int(entry.name)
    raise RuntimeError("the function has no process")


def measure(binary: Path, n_pools: int) -> str:
    """Figures of a minute without jobs."""
    limits: dict[str, Any] = {"points_per_minute": 1_000_000, "hourly_requests": 1_000_000}
    folder = Path(tempfile.mkdtemp(prefix="listener-"))
    world = World.start(folder, time_scale=0.3, message_wait=50 / 0.3, session_silence=50 / 0.3, **limits)
    try:
        world.prepare()
        world.deploy_function(binary, POLL_INTERVAL_SECS=POLL_INTERVAL_SECS, LOG_LEVEL="info")
        listeners = Listeners(world)
        listeners.add(n_pools)
        listeners.invoke()
        world.wait_for("every session", lambda: len(listeners.sessions()) == n_pools)
        time.sleep(SETTLED_SECS)
        pid = process_of(world)
        world.reset_calls()
        began, cpu = time.monotonic(), cpu_ms(pid)
        time.sleep(MEASURED_SECS)
        elapsed, cpu = time.monotonic() - began, cpu_ms(pid) - cpu
        calls = Counter(f"{call['service']} {call['operation']}" for call in world.calls())
        hourly = ", ".join(f"{name} {count * 3600 / elapsed:.0f}" for name, count in calls.most_common())
        return (
            f"{n_pools} pools: {peak_kib(pid) / 1024:.1f} MiB at the peak, "
            f"{cpu / 1000 * 60 / elapsed:.2f} s of CPU a minute; calls an hour: {hourly}"
        )
    finally:
        world.discard()


def main() -> None:
    binary = Path(sys.argv[1]) if len(sys.argv) > 1 else build()
    for n_pools in POOL_COUNTS:
        print(measure(binary, n_pools), flush=True)


if __name__ == "__main__":
    main()
