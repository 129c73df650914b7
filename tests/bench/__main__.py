"""Speed and size of the function compared with other implementations of the same work: `make bench`.

Each program is started anew for each measurement, in rounds, against a stub of Lambda's Runtime API in this
process and of everything else in another (stub_servers.py). Two events: a Create with an invalid property, which is
responded to at once, and a Delete of a pool of which GitHub still lists eight runners.

Measured: the time from the process's start to its first poll; the process's CPU time from an event to the end of its
invocation, by the process's own clock; the peak of its memory (VmHWM). CPU carries to other machines better than
time does; compare within one table only.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from bench.implementations import Implementation, prepare
from bench.runtime_api import RuntimeApi
from bench.sample import Sample
from bench.stub_servers import N_RUNNERS, POOL, certificates
from bench.table import machine, table, targets

TESTS = Path(__file__).resolve().parents[1]
Event = dict[str, Any]
ROUNDS = int(os.environ.get("ROUNDS", "20"))
STACK = "arn:aws:cloudformation:eu-central-1:111122223333:stack/ci/0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"


def events(stubs: str, number: int) -> dict[str, Event]:
    """One event with an invalid property, one with eight runners to remove."""
    properties = {
        "ServiceToken": "arn:aws:lambda:eu-central-1:111122223333:function:bench",
        "OrgName": "acme",
        "GitHubUrl": stubs,
        "AccessTokenParameter": "/github-runner-pool/token",
        "Cluster": "build",
    }
    own = {"LaunchTemplate": {"LaunchTemplateId": "lt-0a1b2c3d", "Version": "1"}, "Subnets": ["subnet-0a1b2c3d"]}
    role = {"ExecutionRoleArn": "arn:aws:iam::111122223333:role/execution"}
    signed = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    both = {
        "ResponseURL": f"{stubs}/response/{number}?X-Amz-Date={signed}&X-Amz-Expires=7200",
        "StackId": STACK,
        "RequestId": f"00000000-0000-0000-0000-{number:012d}",
        "LogicalResourceId": "Runners",
        "ResourceType": "Custom::GitHubRunnerPool",
    }
    return {
        "response": {**both, "RequestType": "Create", "ResourceProperties": {**properties, "OrgNme": "acme"}},
        "delete": {
            **both,
            "RequestType": "Delete",
            "PhysicalResourceId": POOL,
            "ResourceProperties": {**properties, **own, **role},
        },
    }


def cpu_ms(pid: int) -> float:
    """Of all threads, those that have ended too: the clock that clock_getcpuclockid(3) names."""
    return time.clock_gettime((~pid << 3) | 2) * 1000


def peak_kib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return float(status.split("VmHWM:")[1].split()[0])


def measure(
    implementation: Implementation, what: str, runtime: RuntimeApi, stubs: subprocess.Popen[bytes], given: Event
) -> dict[str, float | Counter[str]]:
    """Starts a program, gives it one event, and ends it."""
    environment = {"PATH": os.environ["PATH"], **implementation.environment, **given["environment"]}
    before = time.perf_counter()
    process = subprocess.Popen(
        implementation.command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        runtime.accept()
        request = runtime.request()
        sample: dict[str, float | Counter[str]] = {
            "start_ms": (time.perf_counter() - before) * 1000,
            "start_cpu_ms": cpu_ms(process.pid),
        }
        assert request.startswith("GET /2018-06-01/runtime/invocation/next"), request
        if not implementation.works:
            return sample
        cpu, began = cpu_ms(process.pid), time.perf_counter()
        runtime.send_event(given["event"])
        request = runtime.request()
        sample[f"{what}_ms"] = (time.perf_counter() - began) * 1000
        assert request.endswith("/response HTTP/1.1"), request
        runtime.respond("202 Accepted", b"{}")
        # The second poll is where the invocation's work is over.
        runtime.request()
        sample[f"{what}_cpu_ms"] = cpu_ms(process.pid) - cpu
        sample[f"{what}_peak_kib"] = peak_kib(process.pid)
        sample[f"{what}_calls"] = calls(stubs, "SUCCESS" if what == "delete" else "FAILED")
        return sample
    except (AssertionError, OSError):
        process.kill()
        print(process.communicate()[0].decode()[-4000:], file=sys.stderr)
        raise
    finally:
        process.kill()
        process.communicate()
        runtime.connection.close()


def calls(stubs: subprocess.Popen[bytes], wanted: str) -> Counter[str]:
    """The calls by remote, up to the response, which must be the expected one."""
    counted: Counter[str] = Counter()
    while True:
        line = json.loads(next_line(stubs))
        if line["remote"] == "response":
            assert line["what"] == wanted, line
            if wanted == "SUCCESS":
                assert counted["github delete"] == N_RUNNERS, counted
            return counted
        counted[f"github {line['what']}" if line["remote"] == "github" else "aws"] += 1


def next_line(process: subprocess.Popen[bytes]) -> bytes:
    assert process.stdout is not None
    return process.stdout.readline()


def run(implementations: list[Implementation]) -> dict[str, Sample]:
    sample = {implementation.name: Sample() for implementation in implementations}
    with tempfile.TemporaryDirectory() as folder:
        trusted, served = certificates(Path(folder))
        runtime = RuntimeApi()
        stubs = subprocess.Popen(
            [sys.executable, "-m", "bench.stub_servers", served],
            cwd=TESTS,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            url = f"https://localhost:{json.loads(next_line(stubs))['port']}"
            environment = lambda_environment(runtime.address, url, str(trusted))
            number = 0
            for round_number in range(ROUNDS + 1):
                # In another order each time, so that none always follows the same one.
                for implementation in (
                    implementations[round_number % len(implementations) :]
                    + implementations[: round_number % len(implementations)]
                ):
                    for what in ("response", "delete"):
                        number += 1
                        event = events(url, number)[what]
                        found = measure(
                            implementation, what, runtime, stubs, {"environment": environment, "event": event}
                        )
                        # The first round fills the page cache.
                        if round_number > 0:
                            add_to(sample[implementation.name], found)
        finally:
            stubs.kill()
            stubs.communicate()
    return sample


def add_to(sample: Sample, found: dict[str, float | Counter[str]]) -> None:
    for name, value in found.items():
        if isinstance(value, Counter):
            setattr(sample, name, value)
        else:
            getattr(sample, name).append(value)


def lambda_environment(runtime: str, url: str, trusted: str) -> dict[str, str]:
    """Lambda's variables, and those that name the stubs for each SDK."""
    return {
        "AWS_LAMBDA_RUNTIME_API": runtime,
        "AWS_LAMBDA_FUNCTION_NAME": "bench",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
        "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/bench",
        "AWS_LAMBDA_LOG_STREAM_NAME": "bench",
        "AWS_REGION": "eu-central-1",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        "AWS_ENDPOINT_URL": url,
        "AWS_CA_BUNDLE": trusted,
        "SSL_CERT_FILE": trusted,
        "NODE_EXTRA_CA_CERTS": trusted,
    }


def main() -> None:
    implementations = prepare(Path(sys.argv[1]))
    load = os.getloadavg()[0]
    sample = run(implementations)
    print(machine(ROUNDS, load))
    print(
        f"Start: from the start of the process to its first poll for an event. A Delete removes {N_RUNNERS} runners.\n"
    )
    print(table(implementations, sample), end="\n\n")
    print(targets(implementations, sample))


if __name__ == "__main__":
    main()
