"""What is measured, installed and built into an ignored folder: a minimal runtime, the function and the baselines."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
TOOLS = REPOSITORY / ".tools" / "bench"


@dataclass
class Implementation:
    """A program that speaks Lambda's Runtime API."""

    name: str
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    zip_bytes: int = 0
    works: bool = True
    """Whether it does the work, or only starts."""


def prepare(zip_of_function: Path) -> list[Implementation]:
    """The minimal runtime first: ratios refer to it."""
    TOOLS.mkdir(parents=True, exist_ok=True)
    return [_hello(), _function(zip_of_function), _python(), _node()]


def _hello() -> Implementation:
    target = TOOLS / "target"
    manifest = HERE / "hello" / "Cargo.toml"
    _run(["cargo", "build", "--quiet", "--release", "--locked", "--manifest-path", manifest], CARGO_TARGET_DIR=target)
    binary = target / "release" / "hello"
    return Implementation("hyper only", [str(binary)], zip_bytes=_zipped(TOOLS / "hello.zip", [binary]), works=False)


def _function(zip_of_function: Path) -> Implementation:
    folder = TOOLS / "function"
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(zip_of_function) as archive:
        binary = Path(archive.extract("bootstrap", folder))
    binary.chmod(0o755)
    return Implementation("github-runner-pool", [str(binary)], zip_bytes=zip_of_function.stat().st_size)


def _python() -> Implementation:
    """With its pinned packages in the zip."""
    wanted, venv, package = HERE / "python" / "requirements.txt", TOOLS / "python", TOOLS / "python-package"
    python = venv / "bin" / "python"
    stamp = venv / "made"
    if not stamp.exists() or stamp.read_text() != wanted.read_text():
        shutil.rmtree(package, ignore_errors=True)
        _run([sys.executable, "-m", "venv", "--clear", venv])
        _run([python, "-m", "pip", "install", "--quiet", "--requirement", wanted])
        own = [line for line in wanted.read_text().splitlines() if line and line[0] != "#" and "ric" not in line]
        _run([python, "-m", "pip", "install", "--quiet", "--target", package, *own])
        stamp.write_text(wanted.read_text())
    for path in (HERE / "python").glob("*.py"):
        shutil.copy(path, package)
    _run([python, "-m", "compileall", "-q", package])
    files = [path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return Implementation(
        f"Python {sys.version_info.major}.{sys.version_info.minor}, crhelper, boto3",
        [str(python), "-m", "awslambdaric", "handler.handler"],
        {"PYTHONPATH": str(package), "LAMBDA_TASK_ROOT": str(package)},
        _zipped(TOOLS / "python.zip", files, package),
    )


def _node() -> Implementation:
    folder = TOOLS / "node"
    folder.mkdir(exist_ok=True)
    for path in (HERE / "node").iterdir():
        shutil.copy(path, folder)
    stamp = folder / "made"
    if not stamp.exists() or stamp.read_text() != (folder / "package.json").read_text():
        _run(["npm", "install", "--silent", "--no-audit", "--no-fund"], cwd=folder)
        stamp.write_text((folder / "package.json").read_text())
    bundle = folder / "index.mjs"
    # The banner is what the SDK's CommonJS parts want in a module.
    banner = 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);'
    flags = ["--bundle", "--minify", "--platform=node", "--target=node20", "--format=esm", f"--banner:js={banner}"]
    _run([folder / "node_modules" / ".bin" / "esbuild", "runtime.mjs", *flags, "--outfile=index.mjs"], cwd=folder)
    version = subprocess.run(["node", "--version"], check=True, capture_output=True, text=True).stdout.strip()
    zipped = _zipped(TOOLS / "node.zip", [bundle])
    return Implementation(
        f"Node {version[1:].split('.')[0]}, AWS SDK v3, bundled", ["node", str(bundle)], zip_bytes=zipped
    )


def _zipped(to: Path, files: list[Path], below: Path | None = None) -> int:
    with zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in files:
            archive.write(path, path.relative_to(below or path.parent))
    return to.stat().st_size


def _run(command: list[object], cwd: Path | None = None, **environment: object) -> None:
    variables = {**os.environ, **{name: str(value) for name, value in environment.items()}}
    run = subprocess.run(
        [str(word) for word in command], cwd=cwd, env=variables, capture_output=True, text=True, check=False
    )
    if run.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} failed:\n{run.stdout}\n{run.stderr}")
