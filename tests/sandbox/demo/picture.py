"""`make demo | python -m sandbox.demo.picture`: a part of the demo's output as a picture, whose source is text."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from sandbox.svg import MONO, document, rect, text

PICTURE = Path(__file__).resolve().parents[3] / ".github/demo.svg"
SECTION = "An update, while a job runs"
COLUMN, ROW, MARGIN, SIZE = 7.3, 18, 14, 12
WIDTH = 100
COLOURS = {
    "stack": "#d2a8ff",
    "pool": "#56d4dd",
    "instance": "#79c0ff",
    "runner": "#7ee787",
    "job": "#e3b341",
}
TEXT, QUIET, HEADING, PAGE, REST = "#e6edf3", "#8b949e", "#ffffff", "#0d1117", "#30363d"
LINE = re.compile(r"(?P<clock> +\d+:\d\d\.\d  )(?P<who>\w+ +)(?P<rest>.*)")


def section_of(output: str) -> list[str]:
    """The lines of the section, from its heading on."""
    lines = output.splitlines()
    begin = next(number for number, line in enumerate(lines) if f". {SECTION} " in line)
    end = next(number for number, line in enumerate(lines) if number > begin and re.match(r"(──|--) \d", line))
    return lines[begin : end - 1]


def picture(lines: list[str]) -> str:
    """An SVG with a row for each line."""
    width, height = round(WIDTH * COLUMN + 2 * MARGIN), len(lines) * ROW + 2 * MARGIN
    rows = "\n".join(row(line, MARGIN + (number + 1) * ROW - 5) for number, line in enumerate(lines))
    page = rect(0, 0, width, height, rx=8, fill=PAGE)
    title = f"make demo: {SECTION[0].lower()}{SECTION[1:]}"
    return document("demo-picture", title, width, height, SIZE, MONO, f"  {page}\n{rows}")


def row(line: str, y: int) -> str:
    if found := LINE.fullmatch(line):
        who = COLOURS.get(found["who"].strip(), TEXT)
        pieces = [(QUIET, found["clock"]), (who, found["who"]), (TEXT, found["rest"])]
    else:
        pieces = [(HEADING if line.startswith(("──", "--")) else QUIET, line)]
    texts, column = [], 0
    for colour, piece in pieces:
        # A renderer may drop blanks, so each phrase has its own column.
        for phrase in re.finditer(r"[█░]+|\S+(?: \S+)*", piece):
            x = MARGIN + (column + phrase.start()) * COLUMN
            draw = bar if phrase[0].startswith(("█", "░")) else text
            texts.append(draw(x, y, phrase[0], fill=colour))
        column += len(piece)
    return "  " + "".join(texts)


def bar(x: float, y: float, blocks: str, fill: str) -> str:
    """How much of something is done. Fonts draw the blocks with gaps."""
    whole = rect(x, y - 9, len(blocks) * COLUMN, 10, rx=2, fill=REST)
    return whole + rect(x, y - 9, blocks.count("█") * COLUMN, 10, rx=2, fill=fill)


if __name__ == "__main__":
    PICTURE.write_text(picture(section_of(sys.stdin.read())))
