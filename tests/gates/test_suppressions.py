"""A suppression of checkov is at its resource, with a reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gates.documents import REPOSITORY, without_tags

TEMPLATES = sorted((REPOSITORY / "cfn").glob("*.yaml"))


def skips(template: dict[str, Any]) -> list[tuple[str, dict[str, str]]]:
    """Of every resource."""
    resources = template["Resources"].items()
    return [
        (name, skip)
        for name, resource in resources
        for skip in resource.get("Metadata", {}).get("checkov", {}).get("skip", [])
    ]


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_checkov_suppression_has_a_reason(path: Path) -> None:
    template = without_tags(path.read_text())
    assert "checkov" not in template.get("Metadata", {}), "a whole template cannot be exempt"
    for name, skip in skips(template):
        assert len(skip.get("comment", "")) > 20, f"{name}: {skip}"
