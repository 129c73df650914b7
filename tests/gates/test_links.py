"""Links of the documents that lead into the repository, to a file or to a heading of one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gates.documents import README, REPOSITORY, tracked_files

LINK = re.compile(r"\[[^]]*]\(([^)\s]+)\)|^\[[^]]+]: (\S+)", re.MULTILINE)
FENCED = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]*`")
DOCUMENTS = tracked_files("*.md")


def links(document: str) -> list[str]:
    """Those that leave the repository left out."""
    found = ["".join(pair) for pair in LINK.findall(CODE.sub("", FENCED.sub("", document)))]
    return [link for link in found if not re.match(r"[a-z]+:", link)]


def anchors(document: str) -> set[str]:
    """What GitHub makes of the headings: lower case, hyphens for blanks, a number for one that was there before."""
    counts: dict[str, int] = {}
    found = set()
    for heading in re.findall(r"^#+ +(.*?) *#*$", FENCED.sub("", document), re.MULTILINE):
        text = re.sub(r"\[([^]]*)]\([^)]*\)", r"\1", heading).replace("`", "")
        slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        number = counts[slug] = counts.get(slug, -1) + 1
        found.add(f"{slug}-{number}" if number else slug)
    return found | set(re.findall(r'<a (?:id|name)="([^"]+)"', document))


def broken(path: Path, document: str) -> list[str]:
    left = []
    for link in links(document):
        place, _, anchor = link.partition("#")
        target = (path.parent / place).resolve() if place else path
        inside = target.is_relative_to(REPOSITORY) and target.exists()
        if not inside or (anchor and anchor not in anchors(document if target == path else target.read_text())):
            left.append(link)
    return left


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_links_into_the_repository_resolve(path: Path) -> None:
    assert broken(path, path.read_text()) == []


def test_there_are_links() -> None:
    assert len(links(README.read_text())) > 10


def test_broken_link_is_found() -> None:
    document = """# A heading, `code`
[file](cfn/pool.yaml) [heading](#a-heading-code) [other](tests/sandbox/README.md#the-control-endpoint) `[no](link)`
[gone](cfn/gone.yaml) [gone too](#gone) [gone as well](tests/sandbox/README.md#gone) [outside](../../etc/passwd)
"""
    assert broken(README, document) == ["cfn/gone.yaml", "#gone", "tests/sandbox/README.md#gone", "../../etc/passwd"]
