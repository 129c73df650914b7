"""Where the code that `make deploy` deploys comes from: a zip, a release, an executable or a build; one of them."""

from __future__ import annotations

import argparse
from pathlib import Path

from .binary import Code
from .errors import DeployError
from .release import ARCHITECTURES, code_of_release

DEFAULT_ARCHITECTURE = "arm64"


def check_source(options: argparse.Namespace) -> None:
    """Finds contradictions before anything is built, downloaded or deployed."""
    given = [
        name
        for name, value in (
            ("ZIP", options.zip),
            ("RELEASE", options.release),
            ("BINARY", options.binary),
            ("BUILD", options.build),
        )
        if value
    ]
    if len(given) > 1:
        raise DeployError(f"{given[0]}: {' and '.join(given)} are set, and each names other code. Set one of them.")
    if options.architecture and options.architecture not in ARCHITECTURES:
        raise DeployError(f"ARCH: {options.architecture} is no architecture of Lambda. Set arm64 or x86-64.")


def code_of(options: argparse.Namespace) -> Code:
    """The code to deploy."""
    check_source(options)
    if options.zip:
        return code_of_zip(options.zip, options.architecture)
    if executable := options.binary or options.build:
        return Code.of(executable)
    return code_of_release(options.release, options.architecture or DEFAULT_ARCHITECTURE, options.releases_url)


def code_of_zip(path: Path, architecture: str | None) -> Code:
    if not path.is_file():
        raise DeployError(f"ZIP: there is no file {path}. Name the zip of a release, or leave ZIP out.")
    code = Code.of_zip(path.read_bytes(), "ZIP", str(path))
    if architecture and ARCHITECTURES[architecture] != code.architecture:
        raise DeployError(
            f"ARCH: it is {architecture}, but the code in {path} is for {code.architecture}. Leave ARCH out, or name "
            "the other zip."
        )
    return code
