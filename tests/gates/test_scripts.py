"""All that a shell runs, checked by shellcheck: scripts, the Makefile's recipes, the commands of the documents."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from gates.documents import FENCED_SHELL, REPOSITORY, tracked_files

SHELLCHECK = Path(sys.executable).parent / "shellcheck"
DOCUMENTS = tracked_files("*.md")
MAKEFILE = (REPOSITORY / "Makefile").read_text()
# As in `.SHELLFLAGS`. Make has expanded what would seem constant or unset here.
HEAD = "#!/usr/bin/env bash\nset -euo pipefail\n"


def is_script(path: Path) -> bool:
    with path.open("rb") as file:
        return re.match(rb"#!.*\b(ba|da|k)?sh\b", file.readline(80)) is not None


SCRIPTS = [path for path in tracked_files("*") if path.is_file() and is_script(path)]


def findings(script: str) -> str:
    """What shellcheck says of a text."""
    run = subprocess.run(
        [SHELLCHECK, "--shell", "bash", "--format", "gcc", "-"],
        input=script,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode in (0, 1), run.stderr
    return run.stdout


def recipes(makefile: str) -> dict[str, str]:
    """The lines of each target's recipe as the shell gets them."""
    found: dict[str, str] = {}
    variables = dict(re.findall(r"^(?:export )?([A-Z_0-9]+) *[:?]?= *(.*)$", makefile, re.MULTILINE))
    target = ""
    # A line that ends in a backslash goes on in the next one, of which make takes the tab away.
    for line in re.sub(r"\\\n\t?", "\f", makefile).split("\n"):
        if line.startswith("\t"):
            found[target] = found.get(target, "") + shell_of(line[1:], variables) + "\n"
        elif head := re.match(r"([^\s#:=][^:=]*):(?!=)", line):
            target = head[1]
    return found


def shell_of(line: str, variables: dict[str, str]) -> str:
    """One line of a recipe: variables are filled in, and a function's value is some path."""
    text, before = line.lstrip("@-+"), ""
    while text != before:
        before = text
        text = re.sub(r"(?<!\$)\$\(([^()]*)\)", lambda found: variables.get(found[1], "/made"), text)
        text = re.sub(r"(?<!\$)\$[@<*^?]", "/made", text)
    return text.replace("$$", "$").replace("\f", "\\\n")


RECIPES = recipes(MAKEFILE)


def test_there_are_scripts_and_recipes() -> None:
    assert {REPOSITORY / ".ci/run", REPOSITORY / "src/pool/model/start_runner.sh"} <= set(SCRIPTS)
    assert len(RECIPES) > 10


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_script_has_no_shellcheck_findings(path: Path) -> None:
    assert findings(path.read_text()) == ""


@pytest.mark.parametrize("target", RECIPES)
def test_makefile_recipe_has_no_shellcheck_findings(target: str) -> None:
    assert findings(HEAD + RECIPES[target]) == ""


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_document_commands_have_no_shellcheck_findings(path: Path) -> None:
    for commands in FENCED_SHELL.findall(path.read_text()):
        assert findings(HEAD + commands) == ""


def test_shellcheck_finds_a_mistake() -> None:
    made = recipes("NAME := made\ngone:\n\t@rm -rf $$folder/$(NAME) \\\n\t\t$(dir $(TOOL)); cat $<\n")
    assert made == {"gone": "rm -rf $folder/made \\\n\t/made; cat /made\n"}
    assert "SC2086" in findings(HEAD + made["gone"])
