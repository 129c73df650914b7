"""The measurements as a table of Markdown, and beside what was aimed for."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

from bench.implementations import Variant
from bench.sample import Taken

# Start to first poll, against the floor. Checked by people, as all times are: they depend on the machine's mood.
START_TO_FLOOR_MAX = 2.0
# And against each of the rivals.
START_TO_RIVALS_MIN = 50.0
# A TLS library that gathers entropy from the CPU's jitter takes twenty times as long.
ANSWER_CPU_MS_MAX = 1.5
DELETE_PEAK_MIB_MAX = 16.0

HEADS = (
    "",
    "zip, MB",
    "start, ms",
    "times the floor",
    "CPU of the start, ms",
    "CPU of an answer, ms",
    "CPU of a Delete, ms",
    "memory at its peak, MiB",
    "calls of the Delete, to AWS + to GitHub",
)


def table(variants: list[Variant], taken: dict[str, Taken]) -> str:
    """One line for each program; the floor is the first."""
    floor = taken[variants[0].name].typical("start_ms")
    rows = [["---"] + ["---:"] * (len(HEADS) - 1)]
    for variant in variants:
        found = taken[variant.name]
        start, counted = found.typical("start_ms"), found.delete_calls
        row = [variant.name, f"{variant.zip_bytes / 1e6:.2f}", f"{start:.1f}", f"{start / floor:.1f}"]
        row.append(f"{found.typical('start_cpu_ms'):.1f}")
        if variant.works:
            github = counted["github list"] + counted["github delete"]
            row += [f"{found.typical('answer_cpu_ms'):.2f}", f"{found.typical('delete_cpu_ms'):.1f}"]
            row += [f"{found.typical('delete_peak_kib') / 1024:.1f}", f"{counted['aws']} + {github}"]
        rows.append(row + [""] * (len(HEADS) - len(row)))
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [list(HEADS), *rows])


def targets(variants: list[Variant], taken: dict[str, Taken]) -> str:
    """What was aimed for, and whether this run is within it."""
    floor, ours, *rivals = (taken[variant.name] for variant in variants)
    start = ours.typical("start_ms")
    slower = min(rival.typical("start_ms") for rival in rivals) / start
    ratio, answer, peak = (
        start / floor.typical("start_ms"),
        ours.typical("answer_cpu_ms"),
        ours.typical("delete_peak_kib"),
    )
    lines = [
        (ratio <= START_TO_FLOOR_MAX, f"start: {ratio:.2f} times the floor, aimed at {START_TO_FLOOR_MAX} at most"),
        (
            slower >= START_TO_RIVALS_MIN,
            f"start: the others take {slower:.0f} times as long, aimed at {START_TO_RIVALS_MIN:.0f}",
        ),
        (answer <= ANSWER_CPU_MS_MAX, f"an answer: {answer:.2f} ms of CPU, aimed at {ANSWER_CPU_MS_MAX} at most"),
        (
            peak / 1024 <= DELETE_PEAK_MIB_MAX,
            f"memory: {peak / 1024:.1f} MiB, aimed at {DELETE_PEAK_MIB_MAX:.0f} at most",
        ),
    ]
    return "\n".join(f"{'within' if held else 'BEYOND'}  {line}" for held, line in lines)


def machine(rounds: int, load: float) -> str:
    """Where this was taken, and with what."""
    cpu = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(": ", 1)[1] for line in cpu if line.startswith("model name")), "")
    return (
        f"{os.cpu_count()} x {model}, Linux {platform.release()}, {platform.machine()}, load {load:.1f} at the start; "
        f"Rust {_said('rustc', '--version').split()[1]}, Python {platform.python_version()}, "
        f"Node {_said('node', '--version')[1:]}; lower quartiles of {rounds} rounds"
    )


def _said(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
