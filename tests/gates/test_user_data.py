"""The user data of the templates, run by bash: as an instance runs it, and then the scripts that it leaves there.

Its folders are put below a temporary one; `docker`, `systemctl`, `df` and `sleep` are fakes.
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gates.documents import REPOSITORY, without_tags
from gates.test_scripts import findings

CLUSTER = "ci"
IMAGE = "myoung34/github-runner:ubuntu-noble"
HEAD = "# From here on the same in all templates."
TEMPLATES = [path for path in sorted((REPOSITORY / "cfn").glob("*.yaml")) if "UserData:" in path.read_text()]
FOLDERS = ("/etc/", "/usr/local/bin/", "/_work", "/actions-runner", "/var/lib/docker")
POOL = "github-runner-0a1b2c3d4e"
RUNNING, TASK, GONE, NEW = "aaaaaaaaaaaa", "bbbbbbbbbbbb", "cccccccccccc", "dddddddddddd"
AGENT = "eeeeeeeeeeee"
TASK_ARN = f"arn:aws:ecs:us-east-1:111122223333:task/ci/{TASK}00000000000000000000"

# Notes what it is asked. `answers` has what it prints for a command, or the status it fails with; `images` are folders
# out of which `cp` copies.
DOCKER = """#!/usr/bin/env python3
import json, shutil, sys
from pathlib import Path

here = Path(__file__).parent
asked = sys.argv[1:]
with (here / "asked").open("a") as file:
    file.write(json.dumps(asked) + "\\n")
answers = json.loads((here / "answers").read_text())
command = " ".join(asked[:2]) if asked[0] in ("image", "system", "volume") else asked[0]
answer = answers.get(command, "")
if isinstance(answer, list):
    answer = answer.pop(0) if len(answer) > 1 else answer[0]
    # Atomically: `docker events` runs at the same time and reads it.
    (here / "answers.new").write_text(json.dumps({**answers, command: answers[command]}))
    (here / "answers.new").replace(here / "answers")
if isinstance(answer, int):
    sys.exit(answer)
if isinstance(answer, dict):
    answer = answer[asked[-1]]
if command == "cp":
    shutil.copytree(here / "images" / asked[1].split(":")[0].removeprefix("of-"), asked[2], dirs_exist_ok=True)
if command == "ps" and (here / "meanwhile").exists():
    Path((here / "meanwhile").read_text()).mkdir()
if command == "create":
    answer = asked[-1].replace("sha256:", "of-")
print(answer, end="")
"""
# Notes what it is asked as well.
OTHER = """#!/bin/bash
echo "$(basename "$0") $*" >> "$(dirname "$0")/others"
cat "$(dirname "$0")/$(basename "$0").says" 2> /dev/null || true
"""


def user_data(path: Path) -> str:
    resources = without_tags(path.read_text())["Resources"]
    (found,) = [resource for resource in resources.values() if resource["Type"] == "AWS::EC2::LaunchTemplate"]
    text: str | list[Any] = found["Properties"]["LaunchTemplateData"]["UserData"]["Fn::Base64"]
    # Fn::Sub with values of its own has a list.
    return text if isinstance(text, str) else str(text[0])


def filled_in(path: Path, has_warm_pool: str = "false") -> str:
    text = user_data(path).replace("${Cluster}", CLUSTER).replace("${WarmImage}", IMAGE)
    return text.replace("${HasWarmPool}", has_warm_pool)


@dataclass
class Instance:
    """An instance that has run its user data, with a fake Docker."""

    root: Path

    @property
    def bin(self) -> Path:
        return self.root / "bin"

    def run(self, script: str | Path) -> int:
        """Runs it to its end; its exit status."""
        command = ["bash", "-c", script] if isinstance(script, str) else [script]
        path = f"{self.bin}:{os.environ['PATH']}"
        return subprocess.run(command, env={"PATH": path}, timeout=30, check=False).returncode

    def script(self, name: str) -> Path:
        return self.root / "usr/local/bin" / name

    def clean_up(self, **answers: object) -> int:
        self.docker(**answers)
        return self.run(self.script("runner-cleanup"))

    def copy_externals(self, **answers: object) -> int:
        """Ends with the stream of events, as when Docker is stopped."""
        self.docker(**answers)
        return self.run(self.script("runner-externals"))

    def docker(self, **answers: object) -> None:
        """Docker's outputs; the commands' names with an underscore."""
        given = {name.replace("_", " "): answer for name, answer in answers.items()}
        (self.bin / "answers").write_text(json.dumps(given))

    def asked(self, *command: str) -> list[list[str]]:
        """The calls of Docker that begin so."""
        path = self.bin / "asked"
        calls = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return [call for call in calls if call[: len(command)] == list(command)]

    def others(self) -> list[str]:
        path = self.bin / "others"
        return path.read_text().splitlines() if path.exists() else []

    def work(self, name: str) -> Path:
        """A work folder with something in it."""
        made = self.root / "_work" / name
        (made / "repository").mkdir(parents=True)
        return made

    def image(self, name: str, **tools: str) -> None:
        """An image, by its tools and what is in each."""
        for tool, content in tools.items():
            node = self.bin / "images" / name / tool / "bin/node"
            node.parent.mkdir(parents=True)
            node.write_text(content)

    def externals(self) -> dict[str, str]:
        """What is there for jobs in containers, each with what is in it."""
        folder = self.root / "actions-runner/externals"
        return {node.parents[1].name: node.read_text() for node in sorted(folder.glob("*/bin/node"))}


def started(template: Path, folder: Path, has_warm_pool: str = "false") -> Instance:
    """An instance after its first boot."""
    made = Instance(folder)
    for name in ("bin", "etc/ecs", "etc/systemd/system", "usr/local/bin", "var/lib/docker"):
        (folder / name).mkdir(parents=True)
    for name, text in {"docker": DOCKER, "systemctl": OTHER, "df": OTHER, "sleep": OTHER}.items():
        (made.bin / name).write_text(text)
        (made.bin / name).chmod(0o755)
    (made.bin / "df.says").write_text("Use%\n 41%\n")
    made.docker()
    text = filled_in(template, has_warm_pool)
    for path in FOLDERS:
        text = text.replace(path, f"{folder}{path}")
    assert made.run(text) == 0
    return made


@pytest.fixture
def instance(tmp_path: Path) -> Instance:
    """Of one template: the scripts of the others are the same."""
    return started(TEMPLATES[0], tmp_path)


def test_templates_share_user_data() -> None:
    shared = [user_data(path).partition(HEAD)[2] for path in TEMPLATES]
    assert len(shared) == 4
    assert shared[0] != ""
    assert shared[1:] == shared[:1] * 3


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_user_data_has_no_findings(path: Path) -> None:
    text = user_data(path)
    # CloudFormation puts the cluster's name there, what a warm pool needs, and nothing else anywhere.
    assert text.count("${Cluster}") == 1
    assert text.count("${") == 1 + text.count("${HasWarmPool}") + text.count("${WarmImage}")
    # One line for each setting, so that each can have its comment (SC2129).
    found = findings(filled_in(path)).splitlines()
    assert [finding for finding in found if "SC2129" not in finding] == []
    scripts = [part.partition("\nEND\n")[0] for part in text.split("<< 'END'\n")[1:]]
    scripts = [script for script in scripts if script.startswith("#!")]
    assert [findings(script) for script in scripts] == ["", ""]


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_user_data_joins_the_cluster_and_starts_units_without_waiting(path: Path, tmp_path: Path) -> None:
    instance = started(path, tmp_path)
    assert f"ECS_CLUSTER={CLUSTER}\n" in (instance.root / "etc/ecs/ecs.config").read_text()
    assert instance.others() == [
        "systemctl daemon-reload",
        "systemctl enable --now --no-block runner-externals.service runner-cleanup.timer",
    ]
    units = instance.root / "etc/systemd/system"
    starts = [
        line.removeprefix("ExecStart=")
        for unit in units.glob("*.service")
        for line in unit.read_text().splitlines()
        if line.startswith("ExecStart=")
    ]
    starts = [start for start in starts if not start.startswith("/usr/bin/docker")]
    assert sorted(starts) == [str(instance.script("runner-cleanup")), str(instance.script("runner-externals"))]
    assert all(os.access(path, os.X_OK) for path in starts)
    assert {unit.name for unit in units.iterdir()} - {"runner-image.service"} == {
        "runner-cleanup.service",
        "runner-cleanup.timer",
        "runner-externals.service",
    }


def test_warm_instances_wait_for_the_group_and_pull_the_image(tmp_path: Path) -> None:
    pool = REPOSITORY / "cfn/pool.yaml"
    for has_warm_pool in ("true", "false"):
        folder = tmp_path / has_warm_pool
        instance = started(pool, folder, has_warm_pool)
        config = (instance.root / "etc/ecs/ecs.config").read_text()
        assert f"ECS_WARM_POOLS_CHECK={has_warm_pool}\n" in config
        starts = [call for call in instance.others() if "runner-image.service" in call]
        # Without waiting: Docker starts only when the user data has ended.
        wanted = ["systemctl start --no-block runner-image.service"] if has_warm_pool == "true" else []
        assert starts == wanted
        unit = (instance.root / "etc/systemd/system/runner-image.service").read_text()
        assert f"ExecStart=/usr/bin/docker pull {IMAGE}\n" in unit
        assert "After=docker.service\n" in unit


# What is there: the agent, a runner, and one that is named after its task.
LISTED = f"{AGENT} \n{RUNNING} {TASK_ARN.replace(TASK, '0' * 12)}\nffffffffffff {TASK_ARN}\n"


def test_cleanup_removes_the_work_folders_of_containers_that_are_gone_and_no_others(instance: Instance) -> None:
    kept = [instance.work(f"{POOL}-{owner}") for owner in (RUNNING, TASK)]
    # A fixed RunnerName, one that only resembles a container's, and what no runner has created.
    kept += [instance.work(name) for name in ("build", f"build-{GONE}", "_tool")]
    gone = instance.work(f"{POOL}-{GONE}")
    elsewhere = instance.root / "elsewhere"
    (elsewhere / "inside").mkdir(parents=True)
    link = instance.root / "_work" / f"{POOL}-abcdefabcdef"
    link.symlink_to(elsewhere)
    assert instance.clean_up(ps=LISTED) == 0
    assert not gone.exists()
    assert [folder for folder in kept if not (folder / "repository").exists()] == []
    assert (elsewhere / "inside").exists()
    # A container that has ended is on the list until the agent has removed it, and each with its task.
    [asked] = instance.asked("ps")
    assert "--all" in asked
    assert "com.amazonaws.ecs.task-arn" in asked[-1]


@pytest.mark.parametrize("answer", [1, ""], ids=["fails", "lists nothing"])
def test_cleanup_removes_nothing_if_docker_ps(instance: Instance, answer: object) -> None:
    kept = instance.work(f"{POOL}-{GONE}")
    assert instance.clean_up(ps=answer) != 0
    assert (kept / "repository").exists()
    assert instance.asked() == instance.asked("ps")


def test_cleanup_keeps_the_work_folder_of_a_runner_that_starts_while_containers_are_listed(instance: Instance) -> None:
    new = instance.root / "_work" / f"{POOL}-{NEW}"
    new.parent.mkdir()
    (instance.bin / "meanwhile").write_text(str(new))
    assert instance.clean_up(ps=LISTED) == 0
    assert new.exists()


def test_cleanup_prunes_what_is_a_day_old_and_leaves_ecs_its_containers(instance: Instance) -> None:
    assert instance.clean_up(ps=LISTED) == 0
    [prune] = instance.asked("system", "prune")
    filters = [prune[at + 1] for at, word in enumerate(prune) if word == "--filter"]
    assert filters == ["until=24h", "label!=com.amazonaws.ecs.task-arn"]
    assert "--all" not in prune
    assert instance.asked("volume") == [["volume", "prune", "--force"]]
    assert instance.asked("image") == []


def test_cleanup_removes_old_images_when_the_disk_gets_full(instance: Instance) -> None:
    (instance.bin / "df.says").write_text("Use%\n 80%\n")
    old, built_now = "node:22", "acme/app:0a1b2c"
    listed = f"amazon/amazon-ecs-pause:0.1.0\n<none>:<none>\n{old}\n{built_now}\n"
    created = {old: "2026-01-02T03:04:05Z\n", built_now: "2999-01-02T03:04:05Z\n"}
    assert instance.clean_up(ps=LISTED, image_ls=listed, image_inspect=created) == 0
    # Without --force: Docker then keeps an image that a container was made from.
    assert instance.asked("image", "rm") == [["image", "rm", old]]


def test_cleanup_goes_on_after_an_image_that_docker_does_not_remove(instance: Instance) -> None:
    (instance.bin / "df.says").write_text("Use%\n 97%\n")
    created = dict.fromkeys(("one:1", "two:2"), "2026-01-02T03:04:05Z\n")
    assert instance.clean_up(ps=LISTED, image_ls="one:1\ntwo:2\n", image_inspect=created, image_rm=1) == 0
    assert len(instance.asked("image", "rm")) == 2


def listed(*runners: str, family: str = "ghr-ci-Runners-0a1b2c3d4e") -> str:
    return "".join(f"{runner} {family}\n" for runner in runners)


def test_externals_are_copied_out_of_the_images_of_runners(instance: Instance) -> None:
    instance.image("one", node20="20.1", node24="24.1")
    assert instance.copy_externals(ps=listed("a", "b"), inspect="sha256:one\n", events="") == 0
    assert instance.externals() == {"node20": "20.1", "node24": "24.1"}
    # Out of the image, as no job has changed it; what that took is gone again.
    assert instance.asked("create") == [["create", "--entrypoint", "true", "sha256:one"]]
    assert instance.asked("rm") == [["rm", "--force", "--volumes", "of-one"]]
    assert [path.name for path in (instance.root / "actions-runner").iterdir()] == ["externals"]


def test_externals_of_a_newer_image_are_added_and_replace_nothing(instance: Instance) -> None:
    instance.image("one", node20="20.1")
    instance.image("two", node20="20.2", node28="28.1")
    # None is there at first; then one starts, and another one of a newer image, and one of the first image again.
    answers = {"ps": ["", listed("a"), listed("a", "b"), listed("c")], "events": "a\nb\nc\n"}
    images = {"a": "sha256:one\n", "b": "sha256:two\n", "c": "sha256:one\n"}
    assert instance.copy_externals(**answers, inspect=images) == 0
    assert instance.externals() == {"node20": "20.1", "node28": "28.1"}
    assert len(instance.asked("create")) == 2


def test_externals_are_tried_again_after_a_failure(instance: Instance) -> None:
    instance.image("one", node24="24.1")
    assert instance.copy_externals(ps=listed("a"), inspect="sha256:one\n", events="", cp=[1, ""]) == 0
    assert instance.externals() == {"node24": "24.1"}
    assert [call for call in instance.others() if call.startswith("sleep")] == ["sleep 5"]
    assert len(instance.asked("rm")) == 2


def test_externals_that_cannot_be_copied_are_tried_when_the_next_runner_starts(instance: Instance) -> None:
    instance.image("one", node24="24.1")
    answers = {"ps": listed("a"), "inspect": "sha256:one\n", "events": "b\n"}
    assert instance.copy_externals(**answers, cp=[1, 1, 1, ""]) == 0
    assert instance.externals() == {"node24": "24.1"}


def test_externals_are_not_looked_for_in_other_tasks_of_the_cluster(instance: Instance) -> None:
    assert instance.copy_externals(ps=listed("a", family="web"), inspect="sha256:web\n", events="b\n") == 0
    assert instance.asked("create") == []


def test_externals_that_a_crash_left_half_copied_are_removed(instance: Instance) -> None:
    half = instance.root / "actions-runner/externals.a1b2c3"
    half.mkdir(parents=True)
    assert instance.copy_externals(ps="", events="") == 0
    assert not half.exists()


def test_externals_wait_for_docker_without_harm(instance: Instance) -> None:
    # The unit starts the script again.
    assert instance.copy_externals(ps=1, events=1) == 0
    assert "Restart=always" in (instance.root / "etc/systemd/system/runner-externals.service").read_text()
    assert instance.externals() == {}
