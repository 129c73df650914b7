"""The measurements as a table of Markdown, and compared with the targets."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

from bench.implementations import Implementation
from bench.sample import Sample

# Start to first poll, relative to the minimal runtime. People check it, as all times: they depend on the machine.
START_TO_MINIMAL_MAX = 2.0
# And relative to each of the baselines.
START_TO_BASELINES_MIN = 50.0
# A TLS library that gathers entropy from the CPU's jitter takes twenty times as long.
RESPONSE_CPU_MS_MAX = 1.5
DELETE_PEAK_MIB_MAX = 16.0

HEADS = (
    "",
    "zip, MB",
    "start, ms",
    "times the minimal runtime",
    "CPU of the start, ms",
    "CPU of a response, ms",
    "CPU of a Delete, ms",
    "memory at its peak, MiB",
    "calls of the Delete, to AWS + to GitHub",
)


def table(implementations: list[Implementation], samples: dict[str, Sample]) -> str:
    """One line for each program; the minimal runtime is the first."""
    minimal = samples[implementations[0].name].typical("start_ms")
    rows = [["---"] + ["---:"] * (len(HEADS) - 1)]
    for implementation in implementations:
        found = samples[implementation.name]
        start, counted = found.typical("start_ms"), found.delete_calls
        row = [implementation.name, f"{implementation.zip_bytes / 1e6:.2f}", f"{start:.1f}", f"{start / minimal:.1f}"]
        row.append(f"{found.typical('start_cpu_ms'):.1f}")
        if implementation.works:
            github = counted["github list"] + counted["github delete"]
            row += [f"{found.typical('response_cpu_ms'):.2f}", f"{found.typical('delete_cpu_ms'):.1f}"]
            row += [f"{found.typical('delete_peak_kib') / 1024:.1f}", f"{counted['aws']} + {github}"]
        rows.append(row + [""] * (len(HEADS) - len(row)))
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [list(HEADS), *rows])


def targets(implementations: list[Implementation], samples: dict[str, Sample]) -> str:
    """The targets, and whether this run meets them."""
    minimal, ours, *baselines = (samples[implementation.name] for implementation in implementations)
    start = ours.typical("start_ms")
    slower = min(baseline.typical("start_ms") for baseline in baselines) / start
    ratio, response, peak = (
        start / minimal.typical("start_ms"),
        ours.typical("response_cpu_ms"),
        ours.typical("delete_peak_kib"),
    )
    lines = [
        (
            ratio <= START_TO_MINIMAL_MAX,
            f"start: {ratio:.2f} times the minimal runtime, aimed at {START_TO_MINIMAL_MAX} at most",
        ),
        (
            slower >= START_TO_BASELINES_MIN,
            f"start: the others take {slower:.0f} times as long, aimed at {START_TO_BASELINES_MIN:.0f}",
        ),
        (
            response <= RESPONSE_CPU_MS_MAX,
            f"a response: {response:.2f} ms of CPU, aimed at {RESPONSE_CPU_MS_MAX} at most",
        ),
        (
            peak / 1024 <= DELETE_PEAK_MIB_MAX,
            f"memory: {peak / 1024:.1f} MiB, aimed at {DELETE_PEAK_MIB_MAX:.0f} at most",
        ),
    ]
    return "\n".join(f"{'within' if is_within else 'BEYOND'}  {line}" for is_within, line in lines)


def machine(rounds: int, load: float) -> str:
    """The machine and the versions."""
    cpu = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(": ", 1)[1] for line in cpu if line.startswith("model name")), "")
    return (
        f"{os.cpu_count()} x {model}, Linux {platform.release()}, {platform.machine()}, load {load:.1f} at the start; "
        f"Rust {_output_of('rustc', '--version').split()[1]}, Python {platform.python_version()}, "
        f"Node {_output_of('node', '--version')[1:]}; lower quartiles of {rounds} rounds"
    )


def _output_of(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
