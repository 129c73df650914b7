"""What the repository's top level holds, and that its first page stays short."""

from __future__ import annotations

from documents import README, REPOSITORY, tracked
from paste_figures import DOCUMENT, PLACE, pasted

TOP_LEVEL = {"Cargo.toml", "Cargo.lock", "LICENSE", "Makefile", "README.md", "cfn", "events", "src", "tests"}
README_LINES_MAX = 200


def test_the_top_level_holds_nothing_else() -> None:
    names = {path.relative_to(REPOSITORY).parts[0] for path in tracked("*")}
    assert {name for name in names if not name.startswith(".")} == TOP_LEVEL


def test_the_readme_is_short() -> None:
    assert len(README.read_text().splitlines()) <= README_LINES_MAX


def test_figures_are_pasted_into_their_place_and_nothing_else_changes() -> None:
    document = DOCUMENT.read_text()
    files = [found["file"] for found in PLACE.finditer(document)]
    assert files == ["simulation-figures.md", "storm-figures.md"]
    for file in files:
        new = pasted(document, {file: "NEW\n"})
        assert f"-->\n\nNEW\n\n<!-- end of target/{file} -->" in new
        others = [found[0] for found in PLACE.finditer(document) if found["file"] != file]
        assert all(other in new for other in others)
        assert PLACE.split(new)[0] == PLACE.split(document)[0]
    assert pasted(document, {}) == document
