"""Speed and size of the function beside the same work by others, side by side in one run: `make bench`.

Each program is started afresh for each measurement, in turns, against a stand-in of Lambda's Runtime API in this
process and of everything else in another (stub_servers.py). Two events: a Create with a bad property, which is
answered at once, and a Delete of a pool of which GitHub still lists a hundred runners.

What is taken: from the start of the process to its first poll; the process's CPU time from an event to the end of its
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

from bench.implementations import Variant, prepare
from bench.runtime_api import RuntimeApi
from bench.sample import Taken
from bench.stub_servers import N_RUNNERS, POOL, certificates
from bench.table import machine, table, targets

TESTS = Path(__file__).resolve().parents[1]
Event = dict[str, Any]
ROUNDS = int(os.environ.get("ROUNDS", "20"))
STACK = "arn:aws:cloudformation:eu-central-1:111122223333:stack/ci/0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"


def events(remotes: str, number: int) -> dict[str, Event]:
    """One event that is refused at once, one that has a hundred runners to remove."""
    properties = {
        "ServiceToken": "arn:aws:lambda:eu-central-1:111122223333:function:bench",
        "OrgName": "acme",
        "GitHubUrl": remotes,
        "AccessTokenParameter": "/github-runner-pool/token",
        "Cluster": "build",
    }
    own = {"LaunchTemplate": {"LaunchTemplateId": "lt-0a1b2c3d", "Version": "1"}, "Subnets": ["subnet-0a1b2c3d"]}
    role = {"ExecutionRoleArn": "arn:aws:iam::111122223333:role/execution"}
    signed = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    both = {
        "ResponseURL": f"{remotes}/answer/{number}?X-Amz-Date={signed}&X-Amz-Expires=7200",
        "StackId": STACK,
        "RequestId": f"00000000-0000-0000-0000-{number:012d}",
        "LogicalResourceId": "Runners",
        "ResourceType": "Custom::GitHubRunnerPool",
    }
    return {
        "answer": {**both, "RequestType": "Create", "ResourceProperties": {**properties, "OrgNme": "acme"}},
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
    variant: Variant, what: str, runtime: RuntimeApi, remotes: subprocess.Popen[bytes], given: Event
) -> dict[str, float | Counter[str]]:
    """Starts a program, gives it one event, and ends it."""
    environment = {"PATH": os.environ["PATH"], **variant.environment, **given["environment"]}
    before = time.perf_counter()
    process = subprocess.Popen(variant.command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        runtime.accept()
        asked = runtime.request()
        taken: dict[str, float | Counter[str]] = {
            "start_ms": (time.perf_counter() - before) * 1000,
            "start_cpu_ms": cpu_ms(process.pid),
        }
        assert asked.startswith("GET /2018-06-01/runtime/invocation/next"), asked
        if not variant.works:
            return taken
        cpu, began = cpu_ms(process.pid), time.perf_counter()
        runtime.give(given["event"])
        asked = runtime.request()
        taken[f"{what}_ms"] = (time.perf_counter() - began) * 1000
        assert asked.endswith("/response HTTP/1.1"), asked
        runtime.answer("202 Accepted", b"{}")
        # The second poll is where the invocation's work is over.
        runtime.request()
        taken[f"{what}_cpu_ms"] = cpu_ms(process.pid) - cpu
        taken[f"{what}_peak_kib"] = peak_kib(process.pid)
        taken[f"{what}_calls"] = calls(remotes, "SUCCESS" if what == "delete" else "FAILED")
        return taken
    except (AssertionError, OSError):
        process.kill()
        print(process.communicate()[0].decode()[-4000:], file=sys.stderr)
        raise
    finally:
        process.kill()
        process.communicate()
        runtime.connection.close()


def calls(remotes: subprocess.Popen[bytes], wanted: str) -> Counter[str]:
    """What was asked of whom, up to the answer, which has to be the wanted one."""
    counted: Counter[str] = Counter()
    while True:
        line = json.loads(next_line(remotes))
        if line["remote"] == "answer":
            assert line["what"] == wanted, line
            if wanted == "SUCCESS":
                assert counted["github delete"] == N_RUNNERS, counted
            return counted
        counted[f"github {line['what']}" if line["remote"] == "github" else "aws"] += 1


def next_line(process: subprocess.Popen[bytes]) -> bytes:
    assert process.stdout is not None
    return process.stdout.readline()


def run(variants: list[Variant]) -> dict[str, Taken]:
    taken = {variant.name: Taken() for variant in variants}
    with tempfile.TemporaryDirectory() as folder:
        trusted, served = certificates(Path(folder))
        runtime = RuntimeApi()
        remotes = subprocess.Popen(
            [sys.executable, "-m", "bench.stub_servers", served],
            cwd=TESTS,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            url = f"https://localhost:{json.loads(next_line(remotes))['port']}"
            environment = lambda_environment(runtime.address, url, str(trusted))
            number = 0
            for turn in range(ROUNDS + 1):
                # In another order each time, so that nobody always comes behind the same one.
                for variant in variants[turn % len(variants) :] + variants[: turn % len(variants)]:
                    for what in ("answer", "delete"):
                        number += 1
                        event = events(url, number)[what]
                        found = measure(variant, what, runtime, remotes, {"environment": environment, "event": event})
                        # The first turn fills the page cache.
                        if turn > 0:
                            note(taken[variant.name], found)
        finally:
            remotes.kill()
            remotes.communicate()
    return taken


def note(taken: Taken, found: dict[str, float | Counter[str]]) -> None:
    for name, value in found.items():
        if isinstance(value, Counter):
            setattr(taken, name, value)
        else:
            getattr(taken, name).append(value)


def lambda_environment(runtime: str, url: str, trusted: str) -> dict[str, str]:
    """What Lambda sets, and where the stand-ins are, in everybody's words."""
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
    variants = prepare(Path(sys.argv[1]))
    load = os.getloadavg()[0]
    taken = run(variants)
    print(machine(ROUNDS, load))
    print(
        f"Start: from the start of the process to its first poll for an event. A Delete removes {N_RUNNERS} runners.\n"
    )
    print(table(variants, taken), end="\n\n")
    print(targets(variants, taken))


if __name__ == "__main__":
    main()
