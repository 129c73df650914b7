"""What the commands print: lines that fit a terminal beside an editor."""

from __future__ import annotations

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
