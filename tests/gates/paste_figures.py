"""`make docs`: paste the figures that the last runs have written into the document that shows them."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
DOCUMENT = REPOSITORY / "tests/README.md"
TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or REPOSITORY / "target")
PLACE = re.compile(
    r"(?P<begin><!-- target/(?P<file>\S+): .*? -->\n).*?(?P<end><!-- end of target/(?P=file) -->)", re.DOTALL
)


def pasted(document: str, figures: dict[str, str]) -> str:
    """The document with these figures, by file, in their places. A place without figures stays as it is."""

    def place(found: re.Match[str]) -> str:
        text = figures.get(found["file"])
        return found[0] if text is None else f"{found['begin']}\n{text.strip()}\n\n{found['end']}"

    return PLACE.sub(place, document)


def main() -> None:
    document = DOCUMENT.read_text()
    wanted = [found["file"] for found in PLACE.finditer(document)]
    written = {name: (TARGET / name).read_text() for name in wanted if (TARGET / name).exists()}
    if not written:
        sys.exit(f"There are no figures in {TARGET}: run `make simulate SEEDS=10000` or `make stress` first.")
    DOCUMENT.write_text(pasted(document, written))
    for name in wanted:
        print(f"{name}: {'pasted' if name in written else 'no newer figures'}")


if __name__ == "__main__":
    main()
