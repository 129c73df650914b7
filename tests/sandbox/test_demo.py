"""What the demo shows: every call of the function in words, in lines that fit a terminal."""

from __future__ import annotations

import io

from sandbox.demo import messages
from sandbox.demo.picture import picture, section_of
from sandbox.demo.screen import WIDTH, Screen
from sandbox.engine.github.server import ROUTES
from sandbox.iam_checks import CHECKS

READS = ("Describe", "Get", "List", "Query", "BatchGet")
# What IAM checks of a call that has another name, or of a service whose calls the demo leaves out.
NOT_SHOWN = ("PassRole", "AssumeRole", "CreateServiceLinkedRole")
# What the function never calls.
NOT_OF_THE_FUNCTION = ("/remove-token", "/installation/token")


def test_every_write_of_the_function_has_words() -> None:
    actions = {str(check["action"]) for check in CHECKS}
    shown = {action.split(":")[1] for action in actions if action.split(":")[0] in ("ecs", "autoscaling", "dynamodb")}
    writes = {name for name in shown if not name.startswith(READS) and name not in NOT_SHOWN}
    assert len(writes) > 10
    assert writes - messages._AWS.keys() == set()


def test_every_write_at_github_has_words() -> None:
    operations = [f"{method} {path.pattern}" for method, path, _ in ROUTES if method != "GET"]
    of_the_function = [name for name in operations if not name.endswith(NOT_OF_THE_FUNCTION)]
    assert len(of_the_function) == len(operations) - len(NOT_OF_THE_FUNCTION)
    for operation in of_the_function:
        call = {"at": 0, "service": "github", "operation": operation.replace(r"(?P<id>\d+)", "7"), "status": 200}
        assert not messages.call(call, {}).text.startswith(("POST", "DELETE")), operation


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
