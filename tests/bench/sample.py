"""The measurements of one program."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Sample:
    """The measurements of one program, one number per round."""

    start_ms: list[float] = field(default_factory=list)
    start_cpu_ms: list[float] = field(default_factory=list)
    response_cpu_ms: list[float] = field(default_factory=list)
    response_ms: list[float] = field(default_factory=list)
    delete_cpu_ms: list[float] = field(default_factory=list)
    delete_ms: list[float] = field(default_factory=list)
    response_peak_kib: list[float] = field(default_factory=list)
    delete_peak_kib: list[float] = field(default_factory=list)
    response_calls: Counter[str] = field(default_factory=Counter[str])
    delete_calls: Counter[str] = field(default_factory=Counter[str])

    def typical(self, name: str) -> float:
        """The lower quartile of one of the lists: whatever else runs on the machine only ever adds. Infinite for a
        program that does not do that.
        """
        values = sorted(getattr(self, name))
        return values[len(values) // 4] if values else float("inf")
