"""cfn-lint, as `make` has installed it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from gates.documents import REPOSITORY

LINTER = sorted((REPOSITORY / ".tools").glob("cfn-lint-*/bin/cfn-lint"))


def lint(*templates: Path) -> list[str]:
    """What cfn-lint finds in templates, each with the file's name."""
    if not LINTER:
        pytest.fail("cfn-lint is not installed: run this by `make gates`")
    command = [str(LINTER[-1]), "--format", "parseable", "--", *map(str, templates)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    # 2, 4, 8 and their sums stand for errors, warnings and information: https://github.com/aws-cloudformation/cfn-lint
    assert run.returncode in range(0, 16, 2), run.stderr
    return [line.removeprefix(f"{templates[0].parent}/") for line in run.stdout.splitlines()]
