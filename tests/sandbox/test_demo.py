"""What the demo shows: every call of the function in words, in lines that fit a terminal."""

from __future__ import annotations

import io

from sandbox.demo import messages
from sandbox.demo.picture import picture, section_of
from sandbox.demo.screen import WIDTH, Screen
from sandbox.iam_checks import CHECKS

READS = ("Describe", "Get", "List", "Query", "BatchGet")
# What IAM checks of a call that has another name, or of a service whose calls the demo leaves out.
NOT_SHOWN = ("PassRole", "AssumeRole", "CreateServiceLinkedRole")


def test_every_write_of_the_function_has_words() -> None:
    actions = {str(check["action"]) for check in CHECKS}
    shown = {action.split(":")[1] for action in actions if action.split(":")[0] in ("ecs", "autoscaling", "dynamodb")}
    writes = {name for name in shown if not name.startswith(READS) and name not in NOT_SHOWN}
    assert len(writes) > 10
    assert writes - messages._AWS.keys() == set()


def test_rows_are_folded() -> None:
    stream = io.StringIO()
    Screen(stream).row(" 3.8 s", "runners to leave: " + "one with a running job, " * 8)
    lines = stream.getvalue().splitlines()
    assert len(lines) > 1
    assert max(map(len, lines)) <= WIDTH


def test_picture_has_a_row_for_each_line_of_the_update() -> None:
    output = (
        "\n── 3. Before ──\n── 4. An update, while a job runs ──\n   0:01.0  pool      ECS   a < b\n"
        "   0:02.0  job       x     ███░ 3 of 4 s\n\n── 5. After ──\n"
    )
    lines = section_of(output)
    assert len(lines) == 3
    drawn = picture(lines)
    # Of the bar there are two.
    assert drawn.count(' y="') == 2 + 4 + 6
    assert "a &lt; b" in drawn
