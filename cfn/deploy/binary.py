"""The function's code: an executable in a zip, and its architecture."""

from __future__ import annotations

import io
import zipfile
import zlib
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from .errors import DeployError

# The machine in an ELF header, and Lambda's name for it.
ARCHITECTURES = {0x3E: "x86_64", 0xB7: "arm64"}
# The part of an ELF header that ends with the machine.
ELF_BYTES = 20
# The year in which the calendar of zip files begins: the same binary gives the same zip, wherever it was built.
ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
# Whose permissions an entry has, in a zip's own numbers.
UNIX = 3
# zlib's best: every kilobyte has to be loaded before the first event.
SMALLEST = 9


@dataclass(frozen=True)
class Code:
    """A deployment package, and its architecture."""

    zip: bytes
    architecture: str

    @classmethod
    def of(cls, binary: Path) -> Code:
        if not binary.is_file():
            raise DeployError(
                f"BINARY: there is no file {binary}. Name a Linux executable, or leave BINARY out to build one."
            )
        executable = binary.read_bytes()
        architecture = architecture_of(executable[:ELF_BYTES])
        if architecture is None:
            raise DeployError(
                f"BINARY: {binary} is not a Linux executable for arm64 or x86-64. Name one that Lambda can run."
            )
        entry = zipfile.ZipInfo("bootstrap", ZIP_EPOCH)
        entry.create_system, entry.external_attr = UNIX, 0o755 << 16
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr(entry, executable, zipfile.ZIP_DEFLATED, SMALLEST)
        return cls(buffer.getvalue(), architecture)

    @classmethod
    def of_zip(cls, content: bytes, variable: str, name: str) -> Code:
        """A zip that was packed before; `variable` named it."""
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive, archive.open("bootstrap") as executable:
                architecture = architecture_of(executable.read(ELF_BYTES))
        except (zipfile.BadZipFile, zlib.error, KeyError):
            architecture = None
        if architecture is None:
            raise DeployError(
                f"{variable}: {name} is not a zip with a Linux executable bootstrap for arm64 or x86-64. Name one of a "
                "release, or one that `make package` has built."
            )
        return cls(content, architecture)

    @property
    def sha256(self) -> bytes:
        return sha256(self.zip).digest()


def architecture_of(header: bytes) -> str | None:
    """Lambda's name for the architecture of an executable with this ELF header."""
    machine = int.from_bytes(header[18:ELF_BYTES], "little") if header.startswith(b"\x7fELF") else 0
    return ARCHITECTURES.get(machine)


def package(binary: Path) -> tuple[Path, Code]:
    """Writes the zip next to the binary."""
    path, code = binary.with_suffix(".zip"), Code.of(binary)
    path.write_bytes(code.zip)
    return path, code


def how_to_upload(binary: Path, function: str) -> None:
    """Prints the commands for accounts in which only CloudFormation deploys."""
    path, code = package(binary)
    # A name for each build, so that CloudFormation sees a change.
    key = f"{function}/{code.architecture}-{code.sha256.hex()[:12]}.zip"
    shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    print(f"""
{shown} has {len(code.zip):,} bytes. With BUCKET for a bucket of the function's Region:

  aws s3 cp {shown} s3://BUCKET/{key}
  aws cloudformation deploy --stack-name {function} --template-file cfn/provider.yaml \\
    --capabilities CAPABILITY_IAM --parameter-overrides FunctionName={function} \\
    CodeBucket=BUCKET CodeKey={key} Architecture={code.architecture}""")
