"""A release of the function: its zip, downloaded and compared with the release's checksums before anything uses it."""

from __future__ import annotations

import http.client
import re
import subprocess
import tomllib
import urllib.error
import urllib.request
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .binary import Code
from .errors import DeployError
from .output import say

REPOSITORY = Path(__file__).parents[2]
# The files of a release. Those of the checksums have the format of `sha256sum`.
CHECKSUMS = "SHA256SUMS"
# The names that ARCH has for Lambda's architectures.
ARCHITECTURES = {"arm64": "arm64", "x86-64": "x86_64"}
VERSION = re.compile(r"\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?")
# Of one silence of the server.
TIMEOUT_SECS = 30
# Lambda accepts no larger zip in a request.
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
BYTES_MAX = 50_000_000
LOOPBACK = ("127.0.0.1", "localhost", "::1")
OTHERWISE = "set ZIP= to a zip that you have, or BUILD=1 to build this checkout, which needs Rust"


def own_version() -> str:
    """The version of this checkout."""
    return str(tomllib.loads((REPOSITORY / "Cargo.toml").read_text())["package"]["version"])


def zip_name(version: str, architecture: str) -> str:
    return f"github-runner-pool-{version}-{architecture}.zip"


def code_of_release(given: str | None, architecture: str, releases_url: str | None) -> Code:
    """The code of the release of that version, or of this checkout's version."""
    own = own_version()
    version = (given or own).removeprefix("v")
    if not VERSION.fullmatch(version):
        raise DeployError(f"RELEASE: {given} is not a version. Write it as {own}.")
    folder = f"{releases_url or url_of_releases()}/v{version}"
    why = "" if given else ", the version of this checkout; ZIP=, RELEASE= or BUILD=1 chooses another code"
    say(f"code: release {version} for {architecture}{why}")
    if version != own:
        say(f"  the stack is that of cfn/provider.yaml in this checkout, which has the version {own}")
    name = zip_name(version, architecture)
    wanted = checksum_of(name, download(f"{folder}/{CHECKSUMS}"), version)
    content = download(f"{folder}/{name}")
    if (found := sha256(content).hexdigest()) != wanted:
        raise DeployError(
            f"RELEASE: {name} has the SHA-256 {found}, but {CHECKSUMS} has {wanted}. Do not use that file: run the "
            "command again, and report it if that does not help."
        )
    code = Code.of_zip(content, "RELEASE", name)
    if code.architecture != ARCHITECTURES[architecture]:
        raise DeployError(f"RELEASE: {name} has code for {code.architecture}. Report it, and {OTHERWISE}.")
    say(f"  {name}: SHA-256 {found}, as in {CHECKSUMS}")
    return code


def url_of_releases() -> str:
    """Where the repository that this checkout was cloned from has the files of its releases."""
    command = ["git", "-C", str(REPOSITORY), "remote", "get-url", "origin"]
    try:
        origin = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except FileNotFoundError:
        origin = ""
    place = re.fullmatch(r"(?:https://|ssh://git@|git@)([^/:@]+)[/:]([^/]+/[^/]+?)(?:\.git)?/?", origin)
    if place is None:
        raise DeployError(
            "RELEASES_URL: this checkout has no origin on a GitHub server, so where its releases are is not known. "
            f"Set RELEASES_URL=https://github.com/OWNER/REPOSITORY/releases/download, or {OTHERWISE}."
        )
    return f"https://{place[1]}/{place[2]}/releases/download"


def checksum_of(name: str, checksums: bytes, version: str) -> str:
    for line in checksums.decode(errors="replace").splitlines():
        if (found := re.fullmatch(r"([0-9a-f]{64}) [ *](\S+)", line)) and found[2] == name:
            return found[1]
    raise DeployError(
        f"RELEASE: the {CHECKSUMS} of release {version} does not list {name}. Report it, and {OTHERWISE}."
    )


class EncryptedRedirects(urllib.request.HTTPRedirectHandler):
    """GitHub redirects a download to the place that has the file."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if not is_trusted(newurl):
            raise DeployError(
                f"RELEASE: {req.full_url} leads to {newurl}, which is not encrypted. Report it, and {OTHERWISE}."
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def download(url: str) -> bytes:
    """The file at this address, the whole of it. Never over an unencrypted connection, save to this machine."""
    name = url.rsplit("/", 1)[1]
    try:
        if not is_trusted(url):
            raise DeployError(f"RELEASES_URL: {url} is not encrypted. Set one that begins with https://.")
        with urllib.request.build_opener(EncryptedRedirects).open(url, timeout=TIMEOUT_SECS) as response:
            content = response.read(BYTES_MAX + 1)
            expected = int(response.headers.get("Content-Length") or len(content))
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.NOT_FOUND:
            raise DeployError(
                f"RELEASE: there is no {url}. Set RELEASE= to a version that was released; otherwise {OTHERWISE}."
            ) from error
        raise DeployError(
            f"RELEASE: {url} returned HTTP {error.code}. Try again later; otherwise {OTHERWISE}."
        ) from error
    except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError) as error:
        why = error.reason if isinstance(error, urllib.error.URLError) else error
        raise DeployError(f"RELEASE: {url} cannot be read: {why}. Check the network; otherwise {OTHERWISE}.") from error
    if len(content) > BYTES_MAX:
        raise DeployError(f"RELEASE: {name} is larger than Lambda accepts. Report it, and {OTHERWISE}.")
    if len(content) != expected:
        raise DeployError(
            f"RELEASE: the download of {name} ended after {len(content):,} of {expected:,} bytes. Run the command "
            "again."
        )
    return content


def is_trusted(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
