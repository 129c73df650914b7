"""What a release has: the zips, the templates with the version in them, the checksums and the changelog's section.

`python -m cfn.deploy.release_assets check v0.1.0`: whether tag, Cargo.toml and CHANGELOG.md agree.
`python -m cfn.deploy.release_assets pack target/lambda target/release-assets`: its files.
"""

from __future__ import annotations

import io
import re
import sys
import zipfile
from hashlib import sha256
from pathlib import Path

from .binary import ZIP_EPOCH, Code
from .errors import DeployError
from .output import end_quietly
from .release import ARCHITECTURES, CHECKSUMS, REPOSITORY, own_version, zip_name

CHANGELOG = REPOSITORY / ".github/CHANGELOG.md"
# Beside the templates: what editors check them with.
SCHEMA = "properties.schema.json"
# The changelog's section, which is the release's text.
NOTES = "notes.md"


def check(tag: str) -> str:
    """The version of the tag, if it is that of Cargo.toml and the changelog says when it was released."""
    version = own_version()
    if tag != f"v{version}":
        raise DeployError(
            f"Tag {tag}: Cargo.toml has the version {version}. Tag v{version}, or change Cargo.toml first."
        )
    date, _ = changelog_section(version)
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", date):
        raise DeployError(
            f"CHANGELOG.md: the heading of {version} has {date!r} where its date belongs. Write `## {version} - "
            "YYYY-MM-DD`."
        )
    return version


def changelog_section(version: str, changelog: str | None = None) -> tuple[str, str]:
    """The date in the heading of a version, and the text below it."""
    text = CHANGELOG.read_text() if changelog is None else changelog
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        heading, _, body = section.partition("\n")
        name, _, date = heading.partition(" - ")
        if name.strip("[]") == version and body.strip():
            return date, body.strip()
    raise DeployError(
        f"CHANGELOG.md: it has no section for {version}. Add `## {version} - YYYY-MM-DD` with the changes."
    )


def pack(built: Path, folder: Path) -> list[Path]:
    """Writes the files of the release of this checkout; `built` has a folder for each architecture."""
    version = own_version()
    folder.mkdir(parents=True, exist_ok=True)
    files = {f"github-runner-pool-{version}-templates.zip": templates(version)}
    for architecture, name_at_lambda in ARCHITECTURES.items():
        path = built / architecture / "bootstrap/bootstrap.zip"
        if not path.is_file():
            raise DeployError(f"Release {version}: there is no {path}. Run `make build` first.")
        name = zip_name(version, architecture)
        code = Code.of_zip(path.read_bytes(), "Release", str(path))
        if code.architecture != name_at_lambda:
            raise DeployError(f"Release {version}: {path} has code for {code.architecture}. Run `make build` again.")
        files[name] = code.zip
    sums = [f"{sha256(content).hexdigest()}  {name}\n" for name, content in sorted(files.items())]
    files |= {CHECKSUMS: "".join(sums).encode(), NOTES: f"{changelog_section(version)[1]}\n".encode()}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return [folder / name for name in files]


def templates(version: str) -> bytes:
    """The templates and the schema in one folder, the same zip for the same files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in [*sorted((REPOSITORY / "cfn").glob("*.yaml")), REPOSITORY / "cfn" / SCHEMA]:
            text = path.read_text()
            entry = zipfile.ZipInfo(f"github-runner-pool-{version}/{path.name}", ZIP_EPOCH)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, with_version(text, version) if path.suffix == ".yaml" else text)
    return buffer.getvalue()


def with_version(template: str, version: str) -> str:
    """The template with the version in its metadata, where `get-template-summary` finds it."""
    first, rest = template.split("\n", 1)
    return f"{first}\nMetadata:\n  github-runner-pool: {{Version: {version}}}\n{rest}"


def run(arguments: list[str]) -> None:
    match arguments:
        case ["check", tag]:
            print(f"{tag}: Cargo.toml and CHANGELOG.md agree on {check(tag)}")
        case ["pack", built, folder]:
            for path in pack(Path(built), Path(folder)):
                print(f"{path}: {path.stat().st_size:,} bytes")
        case _:
            raise DeployError(__doc__ or "")


def main() -> None:
    try:
        run(sys.argv[1:])
    except DeployError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    end_quietly(main)
