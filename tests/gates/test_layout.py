"""What the repository's top level has, that its first page stays short, and what `make docs` changes."""

from __future__ import annotations

from gates.documents import README, REPOSITORY, tracked_files
from gates.paste_figures import DOCUMENT, PLACE, pasted

TOP_LEVEL = {"Cargo.toml", "Cargo.lock", "LICENSE", "Makefile", "README.md", "cfn", "events", "src", "tests"}
README_LINES_MAX = 200


def test_top_level_has_no_other_files() -> None:
    names = {path.relative_to(REPOSITORY).parts[0] for path in tracked_files("*")}
    assert {name for name in names if not name.startswith(".")} == TOP_LEVEL


def test_readme_is_short() -> None:
    assert len(README.read_text().splitlines()) <= README_LINES_MAX


def test_make_docs_replaces_only_the_figures() -> None:
    document = DOCUMENT.read_text()
    files = [found["file"] for found in PLACE.finditer(document)]
    assert files == ["simulation-figures.md", "stress-figures.md"]
    for file in files:
        new = pasted(document, {file: "NEW\n"})
        assert f"-->\n\nNEW\n\n<!-- end of target/{file} -->" in new
        others = [found[0] for found in PLACE.finditer(document) if found["file"] != file]
        assert all(other in new for other in others)
        assert PLACE.split(new)[0] == PLACE.split(document)[0]
    assert pasted(document, {}) == document
