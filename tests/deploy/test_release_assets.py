"""The files of a release, when a tag may become one, and the commands that deploy it without this repository."""

from __future__ import annotations

import io
import os
import re
import subprocess
import zipfile
from hashlib import sha256
from pathlib import Path

import pytest

from cfn.deploy import release_assets
from cfn.deploy.binary import package
from cfn.deploy.errors import DeployError
from cfn.deploy.release import CHECKSUMS, REPOSITORY, own_version, zip_name
from cfn.deploy.release_assets import NOTES, changelog_section, check, pack, with_version
from cfn.deploy.template import parse
from deploy.release_server import Answer, release_server

VERSION = own_version()
MACHINES = {"arm64": b"\xb7\x00", "x86-64": b"\x3e\x00"}
RELEASED = f"# Changelog\n\n## {VERSION} - 2026-11-26\n\nNew.\n\n## 0.0.9 - 2026-01-01\n\nOld.\n"


def build(folder: Path, machines: dict[str, bytes] = MACHINES) -> Path:
    """What `make build` leaves."""
    for architecture, machine in machines.items():
        binary = folder / architecture / "bootstrap/bootstrap"
        binary.parent.mkdir(parents=True)
        binary.write_bytes(b"\x7fELF" + bytes(14) + machine + bytes(100))
        package(binary)
    return folder


def test_pack_writes_zips_templates_checksums_and_notes(tmp_path: Path) -> None:
    built, folder = build(tmp_path / "lambda"), tmp_path / "assets"
    pack(built, folder)
    templates = f"github-runner-pool-{VERSION}-templates.zip"
    zips = {zip_name(VERSION, "arm64"), zip_name(VERSION, "x86-64"), templates}
    assert {path.name for path in folder.iterdir()} == zips | {CHECKSUMS, NOTES}
    sums = [tuple(line.split("  ")) for line in (folder / CHECKSUMS).read_text().splitlines()]
    assert sums == [(sha256((folder / name).read_bytes()).hexdigest(), name) for name in sorted(zips)]
    before = (folder / templates).read_bytes()
    pack(built, folder)
    assert (folder / templates).read_bytes() == before


def test_templates_of_a_release_differ_from_the_repositorys_only_by_the_version(tmp_path: Path) -> None:
    pack(build(tmp_path / "lambda"), tmp_path)
    archive = zipfile.ZipFile(io.BytesIO((tmp_path / f"github-runner-pool-{VERSION}-templates.zip").read_bytes()))
    paths = sorted((REPOSITORY / "cfn").glob("*.yaml"))
    folder = f"github-runner-pool-{VERSION}"
    assert archive.namelist() == [f"{folder}/{path.name}" for path in paths] + [f"{folder}/properties.schema.json"]
    for path in paths:
        released = parse(archive.read(f"{folder}/{path.name}").decode(), path.name)
        assert released.pop("Metadata") == {"github-runner-pool": {"Version": VERSION}}
        assert released == parse(path.read_text(), path.name)


def test_pack_refuses_a_zip_of_another_architecture(tmp_path: Path) -> None:
    with pytest.raises(DeployError, match=r"^Release .*x86-64/bootstrap/bootstrap.zip has code for arm64"):
        pack(build(tmp_path, {**MACHINES, "x86-64": MACHINES["arm64"]}), tmp_path / "assets")
    with pytest.raises(DeployError, match=r"^Release .*: there is no .*arm64/bootstrap/bootstrap.zip"):
        pack(tmp_path / "nowhere", tmp_path / "assets")


def test_changelog_section_ends_at_the_next_version() -> None:
    assert changelog_section(VERSION, RELEASED) == ("2026-11-26", "New.")
    assert changelog_section("0.0.9", RELEASED) == ("2026-01-01", "Old.")
    with pytest.raises(DeployError, match=r"^CHANGELOG.md: it has no section for 9.9.9"):
        changelog_section("9.9.9", RELEASED)


def test_tag_must_agree_with_cargo_toml_and_the_changelog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changelog = tmp_path / "CHANGELOG.md"
    monkeypatch.setattr(release_assets, "CHANGELOG", changelog)
    changelog.write_text(RELEASED)
    assert check(f"v{VERSION}") == VERSION
    for tag in ("v9.9.9", VERSION, "v"):
        with pytest.raises(DeployError, match=f"^Tag {tag}: Cargo.toml has the version {re.escape(VERSION)}"):
            check(tag)
    changelog.write_text(RELEASED.replace("2026-11-26", "unreleased"))
    with pytest.raises(DeployError, match=r"^CHANGELOG.md: the heading of .* has 'unreleased' where its date belongs"):
        check(f"v{VERSION}")
    changelog.write_text(RELEASED.replace(f"## {VERSION}", "## 9.9.9"))
    with pytest.raises(DeployError, match=r"^CHANGELOG.md: it has no section for"):
        check(f"v{VERSION}")


def test_documented_recipe_deploys_a_release_without_the_repository(tmp_path: Path) -> None:
    document = (REPOSITORY / "cfn/README.md").read_text()
    recipe = document.split("### Deploy from a bucket")[1].split("```sh\n")[1].split("\n```")[0]
    pack(build(tmp_path / "lambda"), tmp_path / "assets")
    (tmp_path / "bin").mkdir()
    aws = tmp_path / "bin/aws"
    aws.write_text('#!/bin/sh\necho "$*"\n')
    aws.chmod(0o755)
    empty = tmp_path / "empty"
    empty.mkdir()
    with release_server() as server:
        for path in (tmp_path / "assets").iterdir():
            server.files[f"/v{VERSION}/{path.name}"] = Answer(path.read_bytes())
        script = recipe.replace("https://github.com/OWNER/REPOSITORY/releases/download", server.url)
        assert server.url in script
        run = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=empty,
            env={**os.environ, "PATH": f"{aws.parent}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=False,
        )
    assert run.returncode == 0, run.stderr
    upload, deployment = [line for line in run.stdout.splitlines() if line.startswith(("s3 cp", "cloudformation"))]
    name = zip_name(VERSION, "arm64")
    assert upload == f"s3 cp {name} s3://BUCKET/"
    assert (empty / name).read_bytes() == (tmp_path / "assets" / name).read_bytes()
    template = parse((empty / re.findall(r"--template-file (\S+)", deployment)[0]).read_text(), "provider.yaml")
    given = dict(re.findall(r"(\w+)=(\S+)", deployment))
    assert given == {"CodeBucket": "BUCKET", "CodeKey": name, "Architecture": "arm64"}
    assert given.keys() <= template["Parameters"].keys()


def test_with_version_keeps_the_rest_of_the_template() -> None:
    assert with_version("A: 1\nB: 2\n", "1.2.3") == "A: 1\nMetadata:\n  github-runner-pool: {Version: 1.2.3}\nB: 2\n"
