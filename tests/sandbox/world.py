"""A sandbox for tests and the demo: start one, deploy the function and stacks, queue jobs, inject faults.

with World.start() as world:
    world.prepare()
    world.deploy_provider(Path("cfn/provider.yaml"))
    stack = world.create_stack("pool", template, {"DesiredCount": "2"})
    world.queue_job(labels=["default"], seconds=3)
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import urlencode

import boto3
from botocore.config import Config
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from sandbox.function import FUNCTION_NAME, deploy
from sandbox.stacks import Stack, Stacks

TESTS = Path(__file__).resolve().parents[1]
REPOSITORY = TESTS.parent
FOLDER = REPOSITORY / ".sandbox"
START_TIMEOUT = 30.0
STOP_TIMEOUT = 10
Entry = dict[str, Any]
T = TypeVar("T")

# Planted, so that a test can search for them where they must not be.
ACCESS_TOKEN = "ghp_SandboxPlantedAccessToken0123456789ab"
TOKEN_PARAMETER = "/github-runner-pool/token"
PROVIDER_STACK = "github-runner-pool"
DEFAULT_TARGETS = ("orgs/acme", "orgs/globex", "repos/acme/app", "enterprises/umbrella")


class WaitTimeoutError(AssertionError):
    """A condition did not hold in time."""


@dataclass
class World:
    """A running sandbox."""

    aws: str
    github: str
    control: str
    region: str
    account: str
    pid: int
    folder: Path
    process: subprocess.Popen[bytes] | None = None
    _clients: dict[str, Any] = field(default_factory=dict)

    # Start and stop.

    @classmethod
    def start(cls, folder: Path | None = None, ports: dict[str, int] | None = None, **settings: str | float) -> World:
        """Starts a sandbox on free ports, or on those given where they are free.

        `settings` are `SANDBOX_*` variables in lower case: `time_scale=0.5`.
        """
        folder = folder or Path(tempfile.mkdtemp(prefix="sandbox-"))
        folder.mkdir(parents=True, exist_ok=True)
        state_file = folder / "state.json"
        state_file.unlink(missing_ok=True)
        log = (folder / "sandbox.log").open("wb")
        process = subprocess.Popen(
            [sys.executable, "-m", "sandbox", "serve", "--state-file", str(state_file), *_flags(ports or {})],
            cwd=TESTS,
            env={**os.environ, **{f"SANDBOX_{name.upper()}": str(value) for name, value in settings.items()}},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        deadline = time.monotonic() + START_TIMEOUT
        try:
            while not state_file.exists():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise WaitTimeoutError(
                        f"the sandbox did not start:\n{(folder / 'sandbox.log').read_text()[-4000:]}"
                    )
                time.sleep(0.05)
        except BaseException:
            # It has a session of its own, so an interrupt of ours would leave it behind.
            process.kill()
            raise
        world = cls.attach(state_file)
        world.process = process
        return world

    @classmethod
    def attach(cls, state_file: Path = FOLDER / "state.json") -> World:
        """A running sandbox."""
        state = json.loads(state_file.read_text())
        return cls(folder=state_file.parent, **state)

    def stop(self) -> None:
        """Ends it, and what it has started: an invocation that waits for a response keeps its process from ending."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)
        if not self._ends_within(STOP_TIMEOUT):
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self._ends_within(STOP_TIMEOUT)

    def _ends_within(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.process is not None:
                if self.process.poll() is not None:
                    return True
            else:
                try:
                    os.kill(self.pid, 0)
                except ProcessLookupError:
                    return True
            time.sleep(0.05)
        return False

    @property
    def alive(self) -> bool:
        try:
            self.get("/faults")
        except OSError:
            return False
        return True

    def __enter__(self) -> World:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def log(self) -> str:
        """What MiniStack and the plug-in printed."""
        path = self.folder / "sandbox.log"
        return path.read_text(errors="replace") if path.exists() else ""

    # AWS.

    def client(self, service: str) -> Any:
        """A boto3 client; its calls are journaled with the caller `client`."""
        if service not in self._clients:
            self._clients[service] = boto3.client(
                service,
                endpoint_url=self.aws,
                region_name=self.region,
                aws_access_key_id="test",
                aws_secret_access_key="test",
                config=Config(retries={"max_attempts": 1}, connect_timeout=5, read_timeout=60),
            )
        return self._clients[service]

    @property
    def stacks(self) -> Stacks:
        return Stacks(self.client("cloudformation"))

    def create_stack(self, name: str, template: str | Path, parameters: dict[str, str] | None = None) -> Stack:
        """Creates a stack and waits for its end, good or bad."""
        return self.stacks.create(name, template, parameters or {}).settled()

    def put_parameter(self, name: str, value: str) -> None:
        self.client("ssm").put_parameter(Name=name, Value=value, Type="SecureString", Overwrite=True)

    def prepare(self) -> None:
        """What pools need: GitHub targets, a token that may administer runners there, its parameter, and ECS's role."""
        for target in DEFAULT_TARGETS:
            self.post("/github/targets", target=target)
        self.put_token(ACCESS_TOKEN, dict.fromkeys(DEFAULT_TARGETS, "write"))
        self.put_parameter(TOKEN_PARAMETER, ACCESS_TOKEN)
        self.client("iam").create_service_linked_role(AWSServiceName="ecs.amazonaws.com")

    def deploy_function(self, binary: Path | None = None, role: str | None = None, **environment: str) -> str:
        """Deploys the built function with `cargo lambda deploy` and returns its ARN. `deploy_provider` makes its table.

        `binary` is one that is built already; without it `cargo build` runs first. `role` is the ARN of the function's
        role, which matters in a world with `authorize="true"`.
        """
        return deploy(self, binary, role, environment)

    def deploy_provider(
        self,
        template: Path,
        binary: Path | None = None,
        parameters: dict[str, str] | None = None,
        **environment: str,
    ) -> str:
        """As the README documents it: the provider's stack, the function in its role, the stack once more."""
        stack = self.create_stack(PROVIDER_STACK, template, parameters).expect("CREATE_COMPLETE")
        runner_role = {"RUNNER_ROLE_ARN": stack.outputs["RunnerRoleArn"]}
        token = self.deploy_function(binary, stack.outputs["RoleArn"], **{**runner_role, **environment})
        stack.update(FunctionExists="true").settled().expect("UPDATE_COMPLETE")
        return token

    def network(self) -> dict[str, str]:
        """Template parameters for the local AWS's default network: `VpcId` and `Subnets`."""
        vpc = self.client("ec2").describe_vpcs()["Vpcs"][0]["VpcId"]
        subnets = self.client("ec2").describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["Subnets"]
        return {"VpcId": vpc, "Subnets": ",".join(subnet["SubnetId"] for subnet in subnets)}

    def function_logs(self, function: str = FUNCTION_NAME) -> list[str]:
        """All lines of all streams. A stream has an invocation's lines as they are written."""
        logs = self.client("logs")
        group = f"/aws/lambda/{function}"
        pages = logs.get_paginator("describe_log_streams").paginate(logGroupName=group)
        try:
            streams = [stream for page in pages for stream in page["logStreams"]]
        except logs.exceptions.ResourceNotFoundException:
            return []
        lines: list[str] = []
        for stream in streams:
            name = stream["logStreamName"]
            for event in logs.get_log_events(logGroupName=group, logStreamName=name, startFromHead=True)["events"]:
                lines += event["message"].splitlines()
        return lines

    # GitHub.

    def put_token(self, token: str, grants: dict[str, str], kind: str = "fine-grained") -> None:
        """`grants` maps a target to `read`, `write` or `none` (403); a target that is not named is a 404."""
        self.post("/github/tokens", token=token, grants=grants, kind=kind)

    def put_app(self, app_id: str, installations: dict[int, str], level: str = "write") -> str:
        """Registers a GitHub App that is installed on these targets; returns its private key."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        listed = [{"id": number, "target": target, "level": level} for number, target in installations.items()]
        self.post("/github/apps", id=app_id, public_key=public.decode(), installations=listed)
        return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()

    def revoke_token(self, token: str) -> None:
        self._request("DELETE", "/github/tokens", {"token": token})

    def runners(self, target: str = "orgs/acme") -> list[Entry]:
        """Runners as GitHub lists them, with plain label names and the id of a running job."""
        targets = self.get("/github")["targets"]
        return targets.get(target, {}).get("runners", [])

    def online_runners(self, target: str = "orgs/acme") -> list[Entry]:
        return [runner for runner in self.runners(target) if runner["status"] == "online"]

    def github_call(
        self,
        method: str,
        path: str,
        token: str = ACCESS_TOKEN,
        headers: dict[str, str] | None = None,
        body: Any = None,
        **query: Any,
    ) -> tuple[int, Any]:
        """A call of the test's own to the local GitHub: status and body."""
        url = f"{self.github}/api/v3{path}" + (f"?{urlencode(query)}" if query else "")
        sent = {"authorization": f"Bearer {token}", "user-agent": "sandbox-tests", **(headers or {})}
        data = None if body is None else json.dumps(body).encode()
        if data is not None:
            sent["content-type"] = "application/json"
        request = urllib.request.Request(url, data, headers=sent, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.status, json.loads(response.read() or b"null")
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"null")

    def queue_job(self, labels: list[str], seconds: float = 3, runner: str | None = None) -> int:
        """Queues a job and returns its id."""
        return int(self.post("/jobs", labels=labels, seconds=seconds, runner=runner)["id"])

    def jobs(self, state: str | None = None) -> list[Entry]:
        return [job for job in self.get("/jobs") if state in (None, job["state"])]

    def job(self, job_id: int) -> Entry:
        return next(job for job in self.jobs() if job["id"] == job_id)

    # Tasks.

    def task_client(self, service: str, task_arn: str) -> Any:
        """A boto3 client with the credentials that the containers of a task have."""
        given = self.post("/task-credentials", task=task_arn)
        return boto3.client(
            service,
            endpoint_url=self.aws,
            region_name=self.region,
            config=Config(retries={"max_attempts": 1}),
            **{f"aws_{name}": value for name, value in given.items()},
        )

    # What happened.

    def events(self, kind: str | None = None, after: int = 0) -> list[Entry]:
        return [event for event in self.get("/events", after=after) if kind in (None, event["kind"])]

    def calls(
        self, *, caller: str | None = "function", service: str | None = None, writes: bool = False
    ) -> list[Entry]:
        """Calls to AWS and GitHub: `caller` is function, task, client, runner or None for all."""
        return [
            call
            for call in self.get("/calls")
            if caller in (None, call["caller"]) and service in (None, call["service"]) and (call["write"] or not writes)
        ]

    def reset_calls(self) -> None:
        self.post("/reset-calls")

    def checks(self) -> list[Entry]:
        """What IAM was asked for the function's calls, each once."""
        return list(self.get("/checks"))

    def exchanges(self) -> list[Entry]:
        return list(self.get("/exchanges"))

    def secrets(self) -> list[str]:
        """Every planted credential and signature, to search logs and reasons for."""
        return [value for values in self.get("/secrets").values() for value in values]

    # What is broken.

    @contextmanager
    def faults(self, **faults: Any) -> Generator[None]:
        """Faults for as long as the block lasts: `with world.faults(launches="fail")`."""
        self.post("/faults", **faults)
        try:
            yield
        finally:
            self._request("DELETE", "/faults", None)

    # Waiting.

    def wait_for(self, what: str, poll: Callable[[], T | Literal[False] | None], timeout: float = 30) -> T:
        """Polls until there is a result, and returns it."""
        deadline = time.monotonic() + timeout
        while not (found := poll()):
            if time.monotonic() > deadline:
                raise WaitTimeoutError(f"{what}: not within {timeout} s\n{self.recent()}")
            time.sleep(0.15)
        return found

    def recent(self, count: int = 25) -> str:
        """The last events, for messages."""
        return "\n".join(json.dumps(event) for event in self.events()[-count:])

    # The control endpoint itself.

    def get(self, path: str, **query: Any) -> Any:
        return self._request("GET", f"{path}?{urlencode(query)}" if query else path, None)

    def post(self, path: str, **body: Any) -> Any:
        return self._request("POST", path, body)

    def _request(self, method: str, path: str, body: Any) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.control + path, data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return json.loads(response.read() or b"null")
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.code} {error.read().decode()}") from error

    def discard(self) -> None:
        """Stops, and removes the folder as well."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def _flags(ports: dict[str, int]) -> list[str]:
    """Command-line flags for the ports that are free."""
    flags = []
    for name, port in ports.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):
                probe.bind(("127.0.0.1", port))
                flags += [f"--{name.replace('_', '-')}", str(port)]
    return flags
