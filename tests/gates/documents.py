"""The repository's own documents, and templates as an editor reads them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
README = REPOSITORY / "README.md"
EXAMPLES = REPOSITORY / "cfn/examples.md"
# The commands that a document shows.
FENCED_SHELL = re.compile(r"^```(?:sh|bash|shell)\n(.*?)^```", re.MULTILINE | re.DOTALL)


class _TaglessLoader(yaml.SafeLoader):
    """`!Ref Name` is the text `Name`, and `!If [...]` a list: the tag is gone."""


def _without_tag(loader: _TaglessLoader, _: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return node.value


_TaglessLoader.add_multi_constructor("!", _without_tag)


def without_tags(template: str) -> Any:
    """A template in which a short intrinsic function is replaced by its argument."""
    return yaml.load(template, _TaglessLoader)


def section(document: Path, heading: str) -> str:
    """A section of a document."""
    below = document.read_text().split(f"\n## {heading}\n")[1]
    return below.split("\n## ")[0]


def block(document: Path, heading: str, language: str = "yaml") -> str:
    """The one fenced block of a language in a section of a document."""
    (found,) = [rest.split("\n```")[0] for rest in section(document, heading).split(f"```{language}\n")[1:]]
    return found


def tracked_files(pattern: str) -> list[Path]:
    """The files of the repository whose path or name is like that, without what is ignored."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", pattern]
    run = subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, text=True)
    return [REPOSITORY / line for line in run.stdout.splitlines() if (REPOSITORY / line).exists()]
