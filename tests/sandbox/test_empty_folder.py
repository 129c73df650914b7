"""A user without a checkout: the documents' commands, typed in an empty folder, with a release of this machine.

The commands are those of the quick start and of "Deploy from a bucket", which replaces the three of `make`.
"""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from cfn.deploy.binary import package
from cfn.deploy.release import own_version
from cfn.deploy.release_assets import pack
from deploy.release_server import Answer, ReleaseServer, release_server
from sandbox.function import FUNCTION_NAME, build
from sandbox.leftovers import leftovers
from sandbox.test_readme import REGION, Block, Reader, blocks_of, settings
from sandbox.world import ACCESS_TOKEN, REPOSITORY, World

BUCKET = "acme-releases"
RELEASES = "https://github.com/OWNER/REPOSITORY/releases/download"
# As releases name them, with the machine in the header of such an executable.
MACHINES = {"arm64": b"\xb7\x00", "x86-64": b"\x3e\x00"}
OWN = "arm64" if platform.machine() in ("arm64", "aarch64") else "x86-64"


@dataclass
class Newcomer(Reader):
    """Their releases are on this machine, and their bucket has a name."""

    releases: str = ""

    def typed(self, block: Block) -> Sequence[str]:
        return block.commands

    def filled_in(self, command: str) -> str:
        text = super().filled_in(command)
        for shown, own in [
            (RELEASES, self.releases),
            ("BUCKET", BUCKET),
            ("cfn/pool.yaml", "$name/pool.yaml"),
            ("$name-arm64.zip", f"$name-{OWN}.zip"),
            ("Architecture=arm64", f"Architecture={OWN.replace('-', '_')}"),
        ]:
            text = text.replace(shown, own)
        return text


@pytest.fixture
def newcomer(tmp_path: Path) -> Iterator[Newcomer]:
    empty = tmp_path / "empty"
    empty.mkdir()
    with (
        World.start(tmp_path / "world", time_scale=0.3, authorize="true", region=REGION) as world,
        release_server() as server,
    ):
        world.post("/github/targets", target="orgs/acme")
        world.put_token(ACCESS_TOKEN, {"orgs/acme": "write"})
        publish(server, tmp_path)
        yield Newcomer(world, empty, settings(world, tmp_path), releases=server.url)


def publish(server: ReleaseServer, folder: Path) -> None:
    """The release of this checkout, whose zip for this machine is the development build."""
    for architecture, machine in MACHINES.items():
        binary = folder / "lambda" / architecture / "bootstrap/bootstrap"
        binary.parent.mkdir(parents=True)
        if architecture == OWN:
            subprocess.run(["strip", "-o", binary, build()], check=True)
        else:
            binary.write_bytes(b"\x7fELF" + bytes(14) + machine + bytes(100))
        package(binary)
    for path in pack(folder / "lambda", folder / "assets"):
        server.files[f"/v{own_version()}/{path.name}"] = Answer(path.read_bytes())


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
def test_release_is_deployed_used_and_removed_from_an_empty_folder(newcomer: Newcomer) -> None:
    world = newcomer.world
    first, token, two_runners, remove = quick_start()
    deploy, status, undeploy = blocks_of("cfn/README.md", "### Deploy from a bucket", "### Deploy by hand")

    for block in (first, deploy):
        newcomer.types(block)
    poll_quickly(world)
    for block in (token, two_runners):
        newcomer.types(block)
    pool_id = world.stacks.get("runners").physical_id("Runners")
    job = world.queue_job(["self-hosted", "default"], 1)
    world.wait_for("the job's end", lambda: world.job(job)["state"] == "succeeded")
    shown = newcomer.types(status).splitlines()
    [pool] = json.loads((newcomer.checkout / "status.json").read_text())["Status"]["Pools"]
    for block in (remove, undeploy):
        newcomer.types(block)

    runners = [line.split("\t") for line in shown if "\t" in line]
    assert [runner[1] for runner in runners] == ["idle", "idle"]
    # What the README's cost is about.
    assert [instance["Tasks"] for instance in pool["Instances"]] == [2]
    assert all(name.startswith("github-runner-") and version.startswith("2.") for name, _, version in runners)
    assert [world.stacks.exists(name) for name in ("runners", FUNCTION_NAME)] == [False, False]
    assert leftovers(world, pool_id) == []
    assert world.client("lambda").list_functions()["Functions"] == []
    assert world.client("s3").list_buckets()["Buckets"] == []
    assert world.client("ssm").describe_parameters()["Parameters"] == []


def quick_start() -> list[Block]:
    """Its blocks without the commands of `make`, for which the bucket's section has others."""
    found = blocks_of("README.md", "### Deploy to AWS", "## Guarantees")
    of_make = [command for block in found for command in block.commands if command.startswith("make ")]
    assert of_make == ["make deploy", "make status STACK=runners", "make undeploy"]
    section = (REPOSITORY / "cfn/README.md").read_text().split("### Deploy from a bucket")[1].split("\n### ")[0]
    assert [command for command in of_make[1:] if f"For `{command}`" not in section] == []
    return [Block(block.place, tuple(c for c in block.commands if c not in of_make)) for block in found]


def poll_quickly(world: World) -> None:
    """For a world whose minutes are seconds. The provider's stack has no parameter for it."""
    client = world.client("lambda")
    variables = client.get_function_configuration(FunctionName=FUNCTION_NAME)["Environment"]["Variables"]
    variables |= {"POLL_INTERVAL_SECS": "0.2"}
    client.update_function_configuration(FunctionName=FUNCTION_NAME, Environment={"Variables": variables})
