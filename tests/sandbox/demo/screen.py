"""The demo's output: lines in columns, coloured where that helps, and never a cursor that moves.

A line is a clock, who it is about, which one of them, and what happened. In a pipe, or with `NO_COLOR`, the same lines
come without colours.
"""

from __future__ import annotations

import os
import sys
import textwrap
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TextIO

WIDTH = 100
INDENT = "  "
SUBJECT_WIDTH = 18
# Indent, clock, who and subject, with what separates them.
TEXT_COLUMN = 2 + 7 + 2 + 9 + 1 + SUBJECT_WIDTH + 1


class Source(Enum):
    """The columns of a timeline, each in a colour of its own."""

    STACK = ("stack", "35")
    FUNCTION = ("function", "36")
    POOL = ("pool", "36")
    INSTANCE = ("instance", "34")
    RUNNER = ("runner", "32")
    JOB = ("job", "33")


class Tone(Enum):
    """What a reader should make of a line. Only what is lost or failed is red."""

    PLAIN = ""
    QUIET = "2"
    GOOD = "32"
    WARN = "33"
    BAD = "1;31"
    STRONG = "1"


@dataclass(frozen=True)
class Line:
    """One event, not yet on the screen: lines of several sources are sorted by `at` first."""

    at: float
    who: Source
    subject: str
    text: str
    tone: Tone = Tone.PLAIN


@dataclass
class Screen:
    """Where the lines go."""

    stream: TextIO = field(default_factory=lambda: sys.stdout)
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    started: float = field(default_factory=time.time)
    sections: int = 0

    @property
    def coloured(self) -> bool:
        """https://no-color.org and https://force-color.org; otherwise colours are for terminals only."""
        if self.environment.get("NO_COLOR"):
            return False
        if self.environment.get("FORCE_COLOR"):
            return True
        return self.stream.isatty() and self.environment.get("TERM") != "dumb"

    @property
    def pictorial(self) -> bool:
        """Whether the stream can take more than ASCII."""
        return (self.stream.encoding or "").lower().replace("-", "").startswith("utf")

    def title(self, text: str, explanation: str) -> None:
        self._print()
        self._print(INDENT + self.paint(text, Tone.STRONG.value))
        self._paragraph(explanation)

    def section(self, heading: str, explanation: str) -> None:
        """Begins a part of the demo; `explanation` says what the reader will see."""
        self.sections += 1
        rule = "─" if self.pictorial else "-"
        head = f"{rule * 2} {self.sections}. {heading} "
        self._print()
        self._print(self.paint(head + rule * (WIDTH - len(head)), Tone.STRONG.value))
        self._paragraph(explanation)
        self._print()

    def line(self, line: Line) -> None:
        name, colour = line.who.value
        who = self.paint(f"{name:<9}", colour)
        clock = self.paint(f"{self.clock(line.at):>7}", Tone.QUIET.value)
        first, *rest = textwrap.wrap(line.text, WIDTH - TEXT_COLUMN, break_on_hyphens=False) or [""]
        text = self.paint(first, line.tone.value)
        self._print(f"{INDENT}{clock}  {who} {line.subject:<{SUBJECT_WIDTH}} {text}")
        for part in rest:
            self._print(" " * TEXT_COLUMN + self.paint(part, line.tone.value))

    def remark(self, text: str, tone: Tone = Tone.PLAIN) -> None:
        """What a section has shown."""
        mark = "→" if self.pictorial else ">"
        hanging = INDENT + "  "
        wrapped = textwrap.wrap(text, WIDTH, initial_indent=f"{INDENT}{mark} ", subsequent_indent=hanging)
        for part in wrapped:
            self._print(self.paint(part, tone.value))

    def row(self, label: str, value: str, tone: Tone = Tone.PLAIN) -> None:
        """A line of a small table."""
        first, *rest = textwrap.wrap(value, WIDTH - len(INDENT) - len(label) - 4, break_on_hyphens=False) or [""]
        self._print(f"{INDENT}  {label}  {self.paint(first, tone.value)}")
        for part in rest:
            self._print(f"{INDENT}  {' ' * len(label)}  {self.paint(part, tone.value)}")

    def gap(self) -> None:
        self._print()

    def clock(self, at: float) -> str:
        """Minutes, seconds and tenths since the start."""
        tenths = max(0, round((at - self.started) * 10))
        return f"{tenths // 600}:{tenths % 600 / 10:04.1f}"

    def bar(self, share: float, width: int = 20) -> str:
        """How much of something is done."""
        full = round(min(1.0, share) * width)
        done, open_ = ("█", "░") if self.pictorial else ("#", ".")
        return done * full + open_ * (width - full)

    def paint(self, text: str, colour: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if colour and text and self.coloured else text

    def _paragraph(self, text: str) -> None:
        for part in textwrap.wrap(text, WIDTH - 2, initial_indent=INDENT, subsequent_indent=INDENT):
            self._print(self.paint(part, Tone.QUIET.value))

    def _print(self, text: str = "") -> None:
        print(text, file=self.stream, flush=True)


def seconds(duration: float) -> str:
    """A duration for people."""
    if duration < 10:
        return f"{duration:.1f} s"
    if duration < 60:
        return f"{duration:.0f} s"
    return f"{duration // 60:.0f} min {duration % 60:.0f} s"


def counted(count: int, thing: str) -> str:
    """`1 runner`, `2 runners`."""
    return f"{count} {thing}" + ("" if count == 1 else "s")
