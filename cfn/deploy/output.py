"""What the commands print: lines that fit a terminal beside an editor, until nothing reads them any more."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

# Characters of a line.
WIDTH_MAX = 100


def say(text: str) -> None:
    """Prints the text, its long lines folded."""
    print("\n".join(part for line in text.split("\n") for part in folded(line)), flush=True)


def folded(line: str) -> list[str]:
    """The line, or its parts between blanks where it is too long, indented under its beginning."""
    indent = " " * (len(line) - len(line.lstrip()) + 2)
    parts, rest = [], line
    while len(rest) > WIDTH_MAX and (at := rest.rfind(" ", len(indent) + 1, WIDTH_MAX + 1)) > 0:
        parts.append(rest[:at].rstrip())
        rest = indent + rest[at:].lstrip()
    return [*parts, rest]


def end_quietly(main: Callable[[], int | None]) -> None:
    """Runs a command to its exit status, without a traceback where `head`, or another reader, has closed the pipe."""
    try:
        status = main()
        sys.stdout.flush()
    except BrokenPipeError:
        # The interpreter flushes once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    sys.exit(status)
