"""Every command of the documents is run here against the local AWS, or elsewhere in CI.

The blocks of the documents in `TYPED` are run in their order, by a user with an empty account and a profile named
`ci`. What is not run here is in `ELSEWHERE`, with what runs it, or why nothing can.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from sandbox.aws_cli import quick_waiters
from sandbox.cli_user import environment
from sandbox.function import FUNCTION_NAME, build
from sandbox.leftovers import leftovers
from sandbox.world import ACCESS_TOKEN, REPOSITORY, World

TYPED = ("README.md", "cfn/README.md", "cfn/examples.md")
OTHERS = tuple(
    str(path.relative_to(REPOSITORY))
    for folder in (".github", "cfn", "events", "src", "tests")
    for path in sorted((REPOSITORY / folder).rglob("*.md"))
    if str(path.relative_to(REPOSITORY)) not in TYPED
)
FENCED = re.compile(r"^```(sh|bash|shell)\n(.*?)^```", re.MULTILINE | re.DOTALL)
BIN = Path(sys.executable).parent
# As the documents have it.
REGION = "eu-central-1"
# How the blocks begin that need a pool.
LOOKS = ("make plan ", "make status ", "aws cloudformation describe-stack-events ")
# What a `make` target is that `make check` has among its own.
IN_CHECK = "make check runs it"
ELSEWHERE = {
    "make check": "what runs this",
    "make demo": IN_CHECK,
    "make lint": IN_CHECK,
    "make test": IN_CHECK,
    "make gates": IN_CHECK,
    "make sandbox-test": IN_CHECK,
    "make fmt": "changes files; make lint, which make check runs, fails where it would",
    "cargo lambda build --release --arm64 --locked": (
        "takes minutes; make check builds for x86-64 the same way, and what follows deploys the development build"
    ),
    "aws logs tail /aws/lambda/github-runner-pool --since 1h --filter-pattern '{ $.logical_id = \"Runners\" }'": (
        "only AWS CLI 2 has `logs tail`, and is in no package registry"
    ),
    (
        "aws logs tail /aws/lambda/github-runner-pool --since 1h --format short "
        """--filter-pattern '{ $.step = "listen" || $.step = "start_tasks" }'"""
    ): "the same",
}

IN_EMPTY_FOLDER = "tests/sandbox/test_empty_folder.py runs it"
# Whole blocks, by their document and the beginning of their first command.
BLOCKS_ELSEWHERE = {
    ("cfn/README.md", "version="): IN_EMPTY_FOLDER,
    ("cfn/README.md", "aws lambda invoke --function-name github-runner-pool --payload"): IN_EMPTY_FOLDER,
    ("cfn/README.md", "aws cloudformation delete-stack --stack-name github-runner-pool"): IN_EMPTY_FOLDER,
    ("cfn/README.md", "aws cloudformation deploy --stack-name job-runners"): (
        "the quick start has deleted its token by then; tests/sandbox/test_templates.py deploys jobs.yaml with a job"
    ),
    ("cfn/README.md", "aws logs tail"): "only AWS CLI 2 has `logs tail`; tests/deploy/test_status.py runs its filter",
    (
        "cfn/sizing.md",
        "",
    ): "for GPUs, proxies and Session Manager, which a local AWS lacks; tests/gates lint its templates",
}


@dataclass(frozen=True)
class Block:
    """A fenced block of a document, as its commands: lines that end in a backslash are one with the next."""

    place: str
    commands: tuple[str, ...]

    @property
    def here(self) -> list[str]:
        document, first = self.place.split(":")[0], self.commands[0]
        if any(document == name and first.startswith(begin) for name, begin in BLOCKS_ELSEWHERE):
            return []
        return [command for command in self.commands if command not in ELSEWHERE]


def blocks(name: str) -> list[Block]:
    return blocks_of(name)


def blocks_of(name: str, begin: str = "", end: str | None = None) -> list[Block]:
    """The blocks of a document, or of its part between two lines."""
    text = (REPOSITORY / name).read_text()
    start = text.index(f"{begin}\n") if begin else 0
    stop = text.index(f"\n{end}\n", start) if end else len(text)
    found = []
    for fence in FENCED.finditer(text, start, stop):
        lines = re.sub(r"\\\n\s*", "", fence[2]).splitlines()
        commands = tuple(line for line in lines if line and not line.startswith("#"))
        found.append(Block(f"{name}:{text.count(chr(10), 0, fence.start()) + 1}", commands))
    return found


def in_turn() -> list[Block]:
    """The blocks with something to run here. Those that look at a pool come before its deletion."""
    found = [block for name in TYPED for block in blocks(name) if block.here]
    looks = [block for block in found if block.here[0].startswith(LOOKS)]
    others = [block for block in found if block not in looks]
    [end] = [at for at, block in enumerate(others) if any("delete-stack" in command for command in block.here)]
    return others[:end] + looks + others[end:]


@dataclass
class Reader:
    """A user who types the documents' commands in a checkout."""

    world: World
    checkout: Path
    settings: dict[str, str]
    variables: list[str] = field(default_factory=list[str])
    """What was assigned and exported in the one shell in which everything is typed."""

    def types(self, block: Block) -> str:
        """What the block's commands print, in one shell; each must succeed."""
        commands = [self.filled_in(command) for command in self.typed(block)]
        script = "\n".join([*self.variables, *commands])
        self.variables += [command for command in commands if re.match(r"export |\w+=", command)]
        run = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self.checkout,
            env=self.settings,
            # What is typed when a command asks for the token.
            input=f"{ACCESS_TOKEN}\n",
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, f"{block.place}:\n{script}\n{run.stdout}\n{run.stderr}"
        return run.stdout

    def typed(self, block: Block) -> Sequence[str]:
        return block.here

    def filled_in(self, command: str) -> str:
        """With this world's GitHub, which is a quick one."""
        return command.replace('VpcId="$vpc"', f'VpcId="$vpc" GitHubUrl={self.world.github} IdleConfirmation=1')


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    with World.start(tmp_path / "world", time_scale=0.3, authorize="true", region=REGION) as world:
        world.post("/github/targets", target="orgs/acme")
        world.put_token(ACCESS_TOKEN, {"orgs/acme": "write"})
        yield Reader(world, checkout(tmp_path), settings(world, tmp_path))


def checkout(folder: Path) -> Path:
    """The repository with the reader's file, a key."""
    made = folder / "checkout"
    made.mkdir()
    for path in REPOSITORY.iterdir():
        if path.name != "target":
            (made / path.name).symlink_to(path)
    (made / "app.private-key.pem").write_text("a key")
    return made


def settings(world: World, folder: Path) -> dict[str, str]:
    """The environment of a shell in which the local AWS is AWS, and a build is there already."""
    keys = "aws_access_key_id = test\naws_secret_access_key = test\n"
    config = folder / "config"
    config.write_text(f"[profile ci]\n{keys}")
    binary = folder / "target/lambda/bootstrap/bootstrap"
    binary.parent.mkdir(parents=True)
    subprocess.run(["strip", "-o", binary, build()], check=True)
    kept = {name: value for name, value in environment().items() if not name.startswith("AWS_")}
    return kept | {
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "AWS_CONFIG_FILE": str(config),
        # AWS CLI 1, the one of the package registry, reads this in place of AWS_REGION.
        "AWS_DEFAULT_REGION": REGION,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_DATA_PATH": str(quick_waiters(folder)),
        "AWS_ENDPOINT_URL": world.aws,
        "AWS_MAX_ATTEMPTS": "1",
        "AWS_PAGER": "",
        # Of the Makefile.
        "ENDPOINT_URL": world.aws,
        "BINARY": str(binary),
        "SETTINGS": "POLL_INTERVAL_SECS=0.2",
        "CARGO_TARGET_DIR": str(folder / "target"),
    }


def test_documented_commands_do_what_they_say(reader: Reader) -> None:
    world, output, pool_id = reader.world, "", ""
    for block in in_turn():
        output += reader.types(block)
        if "--stack-name runners" in "".join(block.here) and "pool.yaml" in "".join(block.here):
            pool_id = world.stacks.get("runners").physical_id("Runners")
            job = world.queue_job(["self-hosted", "default"], 1)
            world.wait_for("the job's end", lambda job=job: world.job(job)["state"] == "succeeded")

    assert f"function:{FUNCTION_NAME}\n" in output
    assert "DesiredCount 2: 2 idle" in output
    assert "2 runners leave" in output
    assert "CREATE_COMPLETE" in output
    assert not world.stacks.exists("runners")
    assert leftovers(world, pool_id) == []
    # Deploying by hand came after `make undeploy`, and operations.yaml after it.
    found = world.client("lambda").get_function_configuration(FunctionName=FUNCTION_NAME)
    assert (found["Timeout"], found["MemorySize"]) == (900, 128)
    assert world.stacks.exists(f"{FUNCTION_NAME}-operations")
    assert world.client("ssm").get_parameter(Name="/github-runner-pool/app-key")["Parameter"]["Type"] == "SecureString"


def test_other_documents_show_only_commands_that_ci_runs_elsewhere() -> None:
    assert [block.place for name in OTHERS for block in blocks(name) if block.here] == []


def test_commands_run_elsewhere_are_shown_and_are_in_make_check() -> None:
    assert ".github/TROUBLESHOOTING.md" in OTHERS
    shown = {command for name in (*TYPED, *OTHERS) for block in blocks(name) for command in block.commands}
    assert ELSEWHERE.keys() <= shown
    makefile = (REPOSITORY / "Makefile").read_text()
    in_check = set(re.search(r"^check: (.*?) ##", makefile, re.MULTILINE)[1].split())  # type: ignore[index]
    assert {command.split()[1] for command, why in ELSEWHERE.items() if why == IN_CHECK} <= in_check
