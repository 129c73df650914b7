"""A container of the runner's image: a folder with what the image has, and the start script under dumb-init in it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[3] / "src/pool/model/start_runner.sh"
IMAGE = Path(__file__).parent / "image"
TOOLS = Path(sys.executable).parent
COMMAND = ["./bin/Runner.Listener", "run", "--startuptype", "service"]
WAIT_SECS = 60.0


class Container:
    """One container, which can be started once."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.home = folder / "actions-runner"
        self.seen = folder / "seen"
        self.temporary = folder / "tmp"
        shutil.copytree(IMAGE, self.home)
        self.seen.mkdir()
        self.temporary.mkdir()
        self.environment = {
            "PATH": f"{self.home / 'shims'}:{TOOLS}:/usr/bin:/bin",
            "HOME": str(folder),
            "TMPDIR": str(self.temporary),
            "SEEN": str(self.seen),
            "RUNNER_HOME": str(self.home),
            "RUNNER_ENTRYPOINT": str(self.home / "entrypoint.sh"),
            "REGISTRATION_POLL_SECS": "1",
            "RUNNER_SCOPE": "org",
            "ORG_NAME": "acme",
        } | environment
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, user: int | None = None) -> Container:
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [str(TOOLS / "dumb-init"), "--", "/bin/bash", "-c", SCRIPT.read_text(), "start-runner", *COMMAND],
                cwd=self.home,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                user=user,
            )
        return self

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    @property
    def lines(self) -> list[str]:
        return self.log.splitlines()

    def wait(self) -> int:
        """The exit code, as soon as there is one."""
        return self.process.wait(WAIT_SECS)

    def wait_for(self, what: str, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + WAIT_SECS
        while not condition():
            assert time.monotonic() < deadline, f"{what} did not happen:\n{self.log}"
            time.sleep(0.02)

    def wait_for_file(self, name: str) -> None:
        self.wait_for(name, (self.seen / name).exists)

    def wait_for_line(self, text: str) -> None:
        self.wait_for(text, lambda: text in self.log)

    def stop(self) -> None:
        """What `docker stop` sends to the first process."""
        self.process.send_signal(signal.SIGTERM)

    def end_listener(self) -> int:
        (self.seen / "end").touch()
        return self.wait()

    def kill(self) -> None:
        """Every process at once, as the kernel does it when a container is killed."""
        # A stopped parent starts no process while its children are listed. Each may end by itself before its turn.
        found = [self.process.pid]
        for process in found:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGSTOP)
            found.extend(_children(process))
        for process in found:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self.process.wait(WAIT_SECS)

    def processes(self) -> list[int]:
        """The first process and all below it."""
        found = [self.process.pid] if self.process.poll() is None else []
        for process in found:
            found.extend(_children(process))
        return found

    def remove(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill()

    def files_with(self, text: str) -> list[str]:
        """The files below the folder that contain a text, but for what the stand-ins recorded."""
        files = [path for path in self.folder.rglob("*") if path.is_file() and self.seen not in path.parents]
        return [str(path.relative_to(self.folder)) for path in files if text.encode() in path.read_bytes()]

    def memory_with(self, text: str) -> list[str]:
        """The commands of processes whose memory contains a text."""
        return [_command(process) for process in self.processes() if text.encode() in _memory(process)]


def _children(process: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    except FileNotFoundError:
        return []


def _command(process: int) -> str:
    return Path(f"/proc/{process}/cmdline").read_text().rpartition("start-runner")[2].replace("\0", " ")


def _memory(process: int) -> bytes:
    """Everything that the process could write to: heap, stack, and the block of its first environment."""
    parts: list[bytes] = []
    # Those of short life, as the listener's `sleep`, may have ended.
    with suppress(FileNotFoundError, ProcessLookupError), Path(f"/proc/{process}/mem").open("rb") as memory:
        for line in Path(f"/proc/{process}/maps").read_text().splitlines():
            addresses, permissions = line.split()[:2]
            if permissions.startswith("rw"):
                first, last = (int(part, 16) for part in addresses.split("-"))
                memory.seek(first)
                parts.append(memory.read(last - first))
    return b"".join(parts)
