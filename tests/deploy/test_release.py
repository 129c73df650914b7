"""`make deploy` with RELEASE=, ZIP= and neither: what is downloaded, compared, accepted and refused."""

from __future__ import annotations

import argparse
import re
import subprocess
from collections.abc import Iterator
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from cfn.deploy import release
from cfn.deploy.binary import Code
from cfn.deploy.errors import DeployError
from cfn.deploy.provider import deploy
from cfn.deploy.release import CHECKSUMS, own_version, zip_name
from cfn.deploy.source import check_source, code_of
from deploy.fake_account import FakeAccount
from deploy.release_server import Answer, ReleaseServer, release_server

ELF = {"arm64": b"\x7fELF" + bytes(14) + b"\xb7\x00" + bytes(400), "x86-64": b"\x7fELF" + bytes(14) + b"\x3e\x00"}
VERSION = "1.2.3"
NAME = zip_name(VERSION, "arm64")


@pytest.fixture
def server() -> Iterator[ReleaseServer]:
    with release_server() as running:
        yield running


def options(**given: Any) -> argparse.Namespace:
    nothing = dict.fromkeys(("zip", "binary", "build", "release", "architecture", "releases_url"))
    return argparse.Namespace(**{**nothing, **given})


def zip_of(folder: Path, architecture: str) -> bytes:
    (folder / "bootstrap").write_bytes(ELF[architecture])
    return Code.of(folder / "bootstrap").zip


def publish(server: ReleaseServer, version: str, files: dict[str, bytes]) -> None:
    """A release with these files and their checksums."""
    checksums = "".join(f"{sha256(content).hexdigest()}  {name}\n" for name, content in files.items())
    for name, content in {**files, CHECKSUMS: checksums.encode()}.items():
        server.files[f"/v{version}/{name}"] = Answer(content)


def error_of(server: ReleaseServer, **given: Any) -> str:
    with pytest.raises(DeployError) as raised:
        code_of(options(releases_url=server.url, **{"release": VERSION, **given}))
    return str(raised.value)


@pytest.mark.parametrize("architecture", ["arm64", "x86-64"])
def test_release_is_downloaded_for_the_architecture(
    server: ReleaseServer, tmp_path: Path, architecture: str, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {zip_name(VERSION, name): zip_of(tmp_path, name) for name in ELF}
    publish(server, VERSION, files)
    name = zip_name(VERSION, architecture)
    code = code_of(options(release=f"v{VERSION}", architecture=architecture, releases_url=server.url))
    assert code.zip == files[name]
    assert code.architecture == architecture.replace("-", "_")
    assert server.asked == [f"/v{VERSION}/{CHECKSUMS}", f"/v{VERSION}/{name}"]
    output = " ".join(capsys.readouterr().out.split())
    assert f"{name}: SHA-256 {sha256(code.zip).hexdigest()}, as in {CHECKSUMS}" in output
    assert f"the stack is that of cfn/provider.yaml in this checkout, which has the version {own_version()}" in output


def test_without_zip_release_or_build_the_release_of_the_own_version_is_taken(
    server: ReleaseServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    version = own_version()
    publish(server, version, {zip_name(version, "arm64"): zip_of(tmp_path, "arm64")})
    assert code_of(options(releases_url=server.url)).architecture == "arm64"
    output = capsys.readouterr().out
    assert f"code: release {version} for arm64, the version of this checkout; ZIP=, RELEASE= or BUILD=1" in output


def test_wrong_checksum_is_refused(server: ReleaseServer, tmp_path: Path) -> None:
    content = zip_of(tmp_path, "arm64")
    publish(server, VERSION, {NAME: content})
    server.files[f"/v{VERSION}/{NAME}"] = Answer(content[:-1] + b"x")
    error = error_of(server)
    assert error.startswith(f"RELEASE: {NAME} has the SHA-256 ")
    assert f"but {CHECKSUMS} has {sha256(content).hexdigest()}. Do not use that file" in error


@pytest.mark.parametrize("missing", [CHECKSUMS, NAME])
def test_missing_asset_is_named(server: ReleaseServer, tmp_path: Path, missing: str) -> None:
    publish(server, VERSION, {NAME: zip_of(tmp_path, "arm64")})
    del server.files[f"/v{VERSION}/{missing}"]
    error = error_of(server)
    assert error.startswith(f"RELEASE: there is no {server.url}/v{VERSION}/{missing}.")
    assert "BUILD=1" in error


def test_asset_that_the_checksums_do_not_list_is_not_downloaded(server: ReleaseServer, tmp_path: Path) -> None:
    publish(server, VERSION, {zip_name(VERSION, "x86-64"): zip_of(tmp_path, "x86-64")})
    assert error_of(server).startswith(f"RELEASE: the {CHECKSUMS} of release {VERSION} does not list {NAME}.")
    assert server.asked == [f"/v{VERSION}/{CHECKSUMS}"]


@pytest.mark.parametrize("interrupted", [CHECKSUMS, NAME])
def test_interrupted_download_says_how_much_arrived(server: ReleaseServer, tmp_path: Path, interrupted: str) -> None:
    publish(server, VERSION, {NAME: zip_of(tmp_path, "arm64")})
    content = server.files[f"/v{VERSION}/{interrupted}"].content
    server.files[f"/v{VERSION}/{interrupted}"] = Answer(content[:7], length=len(content))
    assert error_of(server) == (
        f"RELEASE: the download of {interrupted} ended after 7 of {len(content)} bytes. Run the command again."
    )


def test_zip_of_the_wrong_architecture_is_refused(server: ReleaseServer, tmp_path: Path) -> None:
    publish(server, VERSION, {NAME: zip_of(tmp_path, "x86-64")})
    assert error_of(server).startswith(f"RELEASE: {NAME} has code for x86_64.")


def test_file_that_is_no_zip_is_refused(server: ReleaseServer) -> None:
    publish(server, VERSION, {NAME: b"<html>"})
    assert error_of(server).startswith(f"RELEASE: {NAME} is not a zip with a Linux executable bootstrap")


def test_server_error_and_unreachable_server_are_named(server: ReleaseServer) -> None:
    server.files[f"/v{VERSION}/{CHECKSUMS}"] = Answer(status=HTTPStatus.BAD_GATEWAY)
    assert error_of(server).startswith(f"RELEASE: {server.url}/v{VERSION}/{CHECKSUMS} returned HTTP 502.")
    server.url = "http://127.0.0.1:9"
    error = error_of(server)
    assert error.startswith(f"RELEASE: http://127.0.0.1:9/v{VERSION}/{CHECKSUMS} cannot be read: ")
    assert "Connection refused" in error


def test_redirect_is_followed(server: ReleaseServer, tmp_path: Path) -> None:
    publish(server, VERSION, {NAME: zip_of(tmp_path, "arm64")})
    server.files["/storage"] = server.files[f"/v{VERSION}/{NAME}"]
    server.files[f"/v{VERSION}/{NAME}"] = Answer(status=HTTPStatus.FOUND, location=f"{server.url}/storage")
    assert code_of(options(release=VERSION, releases_url=server.url)).architecture == "arm64"


def test_unencrypted_address_is_refused(server: ReleaseServer) -> None:
    server.files[f"/v{VERSION}/{CHECKSUMS}"] = Answer(status=HTTPStatus.FOUND, location="http://storage.example/sums")
    assert error_of(server).startswith(
        f"RELEASE: {server.url}/v{VERSION}/{CHECKSUMS} leads to http://storage.example/sums, which is not encrypted."
    )
    server.url = "http://releases.example"
    assert error_of(server).startswith("RELEASES_URL: http://releases.example/")


def test_deploy_writes_nothing_if_the_release_is_refused(server: ReleaseServer) -> None:
    publish(server, VERSION, {NAME: b"no zip"})
    sources = vars(options(release=VERSION, releases_url=server.url))
    account = FakeAccount(**sources)
    account.has_no_stack()
    with pytest.raises(DeployError, match=f"^RELEASE: {re.escape(NAME)} is not a zip"):
        deploy(account)
    for stub in account.stubs.values():
        stub.assert_no_pending_responses()


def test_release_must_be_a_version(server: ReleaseServer) -> None:
    assert error_of(server, release="latest") == f"RELEASE: latest is not a version. Write it as {own_version()}."
    assert server.asked == []


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ("https://github.com/acme/runners.git", "https://github.com/acme/runners/releases/download"),
        ("https://github.com/acme/runners", "https://github.com/acme/runners/releases/download"),
        ("git@acme.ghe.com:acme/runners.git", "https://acme.ghe.com/acme/runners/releases/download"),
        ("ssh://git@github.com/acme/runners", "https://github.com/acme/runners/releases/download"),
        ("/srv/git/runners", None),
        (None, None),
    ],
)
def test_releases_url_follows_from_the_origin_of_the_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, origin: str | None, expected: str | None
) -> None:
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    if origin:
        subprocess.run(["git", "-C", tmp_path, "remote", "add", "origin", origin], check=True)
    monkeypatch.setattr(release, "REPOSITORY", tmp_path)
    if expected:
        assert release.url_of_releases() == expected
    else:
        with pytest.raises(DeployError, match=r"^RELEASES_URL: this checkout has no origin on a GitHub server"):
            release.url_of_releases()


def test_zip_is_deployed_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "function.zip"
    path.write_bytes(zip_of(tmp_path, "x86-64"))
    code = code_of(options(zip=path))
    assert (code.zip, code.architecture) == (path.read_bytes(), "x86_64")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"zip": Path("nowhere.zip")}, "ZIP: there is no file nowhere.zip."),
        ({"zip": Path("Makefile")}, "ZIP: Makefile is not a zip with a Linux executable bootstrap"),
        ({"zip": Path("ARM64"), "architecture": "x86-64"}, "ARCH: it is x86-64, but the code in ARM64 is for arm64."),
    ],
)
def test_zip_that_cannot_be_deployed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], expected: str
) -> None:
    (tmp_path / "ARM64").write_bytes(zip_of(tmp_path, "arm64"))
    (tmp_path / "Makefile").write_text("all:\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DeployError, match=f"^{re.escape(expected)}"):
        code_of(options(**given))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"zip": Path("a"), "release": "1.2.3"}, "ZIP: ZIP and RELEASE are set, and each names other code."),
        ({"binary": Path("a"), "build": Path("b")}, "BINARY: BINARY and BUILD are set, and each names other code."),
        ({"architecture": "x86_64"}, "ARCH: x86_64 is no architecture of Lambda. Set arm64 or x86-64."),
    ],
)
def test_contradictions_are_found_before_anything_is_done(given: dict[str, Any], expected: str) -> None:
    with pytest.raises(DeployError, match=f"^{re.escape(expected)}"):
        check_source(options(**given))
