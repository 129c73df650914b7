"""`make status`: what runs, as the function reads it from AWS and GitHub. Nothing is written."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from .account import Account
from .errors import DeployError
from .invoke import invoke, no_answer
from .output import WIDTH_MAX, folded
from .release import own_version

# Capitals, so that the runners with a job stand out.
STATE_TEXTS = {
    "busy": "BUSY",
    "idle": "idle",
    "offline": "offline",
    "unregistered": "no runner",
    "unknown": "unknown",
}
MINUTE, HOUR, DAY = 60, 3600, 86_400


def status(account: Account) -> None:
    """Prints the pools of STACK, or all of them; raises at the end if something could not be read."""
    stack, event = account.options.stack, {}
    if stack:
        event["Stack"] = stack
    answer = invoke(account, account.function, {"Status": event}, "a status")
    found = answer.get("Status")
    if not isinstance(found, dict) or "Pools" not in found:
        raise no_answer(account.function, "a status", answer)
    if account.options.json:
        print(json.dumps(found, indent=2))
    else:
        print("\n".join(lines(found, account, stack)))
    errors = [*found["Errors"], *(error for pool in found["Pools"] for error in pool["Errors"])]
    if errors:
        raise DeployError(f"Status: not everything could be read. Correct this first: {errors[0]}")
    if stack and not found["Pools"]:
        raise DeployError(
            f"STACK: {account.region} has no pool of a stack {stack}. Check the name and AWS_REGION; without STACK all "
            "pools are listed. A Create that has built nothing yet is not listed either: the function's log shows what "
            "it waits for."
        )


def lines(found: dict[str, Any], account: Account, stack: str | None) -> list[str]:
    """All that a person reads."""
    version, own = found["Version"], own_version()
    note = "" if version == own else f" (this checkout has {own})"
    shown = [f"{account.function} {version}{note}, Region {account.region}"]
    for pool in found["Pools"]:
        shown += ["", *pool_lines(pool)]
    shown += [f"! {error}" for error in found["Errors"]]
    if not found["Pools"] and not found["Errors"] and not stack:
        shown += ["", "There are no pools. cfn/pool.yaml creates one."]
    return [line for text in shown for line in folded(text)]


def pool_lines(pool: dict[str, Any]) -> list[str]:
    stack = pool["StackId"].split("/")[1] if pool["StackId"] else "?"
    counts = Counter(runner["State"] for runner in pool["Runners"])
    states = ", ".join(f"{counts[state]} {text}" for state, text in STATE_TEXTS.items() if counts[state])
    scaling = pool.get("JobScaling")
    shown = [
        f"{pool['LogicalId'] or '?'} of the stack {stack} ({pool['Pool']})",
        f"  cluster {pool['Cluster'] or '?'}, revision {pool['Revision'] or '?'}, {pool['Image'] or 'image unknown'}",
        f"  {wanted_text(pool)}: {states or 'no runners'}",
        *([f"  {scale_set_text(scaling)}"] if scaling else []),
        f"  {request_text(pool)}",
    ]
    shown += table(
        ["RUNNER", "STATE", "UP", "REV", "VERSION", "INSTANCE"],
        [runner_row(runner, pool["Revision"]) for runner in pool["Runners"]],
    )
    shown += table(
        ["INSTANCE", "TYPE", "STATE", "TASKS", "TEMPLATE"], [instance_row(instance) for instance in pool["Instances"]]
    )
    return shown + [f"  ! {error}" for error in pool["Errors"]]


def wanted_text(pool: dict[str, Any]) -> str:
    """How many runners there should be."""
    if scaling := pool.get("JobScaling"):
        listener = scaling["Listener"]
        bounds = f", {listener['MinRunners']} to {listener['MaxRunners']}" if listener else ""
        return f"as many runners as jobs{bounds}"
    return "no service" if pool["DesiredCount"] is None else f"DesiredCount {pool['DesiredCount']}"


def scale_set_text(scaling: dict[str, Any]) -> str:
    """What GitHub said last of the jobs, and whether anything listens."""
    work = "listener at work" if scaling["HasListener"] else "NO LISTENER"
    listener = scaling["Listener"]
    if not listener:
        return f"scale set {scaling['ScaleSet']}: not set up yet; {work}"
    mode = "" if listener["Mode"] == "Active" else f" ({listener['Mode'].lower()})"
    last = f"last message {listener['LastMessage']}" if listener["HasSession"] else "no session at GitHub"
    jobs = f"jobs: {listener['AssignedJobs']} assigned, {listener['RunningJobs']} running"
    return f"scale set {scaling['ScaleSet']}, {jobs}; {work}{mode}, {last}"


def request_text(pool: dict[str, Any]) -> str:
    """What is waited for, or how the last request ended."""
    if request := pool["Request"]:
        hops = f", in its invocation {request['Continuations'] + 1}" if request["Continuations"] else ""
        return f"{request['RequestType']} at work for {age(request['AgeSecs'])}{hops} (request {request['RequestId']})"
    if response := pool["LastResponse"]:
        lost = "" if response["IsDelivered"] else ", which CloudFormation did not accept"
        reason = f": {response['Reason']}" if response["Reason"] else ""
        return f"last {response['RequestType']}: {response['Status']}{lost}{reason}"
    return "no request at work"


def runner_row(runner: dict[str, Any], revision: int | None) -> list[str]:
    name = str(runner["Name"] or f"task {runner['Task']}")
    state = STATE_TEXTS.get(str(runner["State"]), str(runner["State"]))
    if runner["Task"] is None:
        state += ", no task"
    elif runner["TaskPhase"] != "Running":
        phase = runner["TaskPhase"].lower()
        state = phase if runner["State"] == "unregistered" else f"{state}, {phase}"
    old = "" if runner["Revision"] in (revision, None) else " (old)"
    up = "-" if runner["AgeSecs"] is None else age(runner["AgeSecs"])
    number = "-" if runner["Revision"] is None else f"{runner['Revision']}{old}"
    return [name, state, up, number, runner["Version"] or "-", runner["Instance"] or "-"]


def instance_row(instance: dict[str, Any]) -> list[str]:
    state = instance["LifecycleState"] or "-"
    if state.startswith("Warmed:"):
        # Of the warm pool: in no cluster until it is started.
        pass
    elif instance["IsConnected"] is None:
        state += ", not in the cluster"
    elif not instance["IsConnected"]:
        state += ", agent disconnected"
    elif not instance["IsActive"]:
        state += ", draining"
    tasks = "-" if instance["Tasks"] is None else str(instance["Tasks"])
    template = "-" if instance["LaunchTemplateVersion"] is None else f"version {instance['LaunchTemplateVersion']}"
    return [instance["Id"], instance["InstanceType"] or "-", state, tasks, template]


def age(secs: int) -> str:
    """One number and its unit."""
    for unit, name in ((DAY, "d"), (HOUR, "h"), (MINUTE, "min")):
        if secs >= 2 * unit:
            return f"{secs // unit} {name}"
    return f"{secs} s"


def table(headings: list[str], rows: list[list[str]]) -> list[str]:
    """Columns as wide as they must be. If they are too wide for a line, each name has a line of its own."""
    if not rows:
        return []
    shown = columns(4, [headings, *rows])
    if max(map(len, shown)) <= WIDTH_MAX:
        return shown
    names = [f"    {row[0]}" for row in [headings, *rows]]
    below = columns(6, [row[1:] for row in [headings, *rows]])
    return [line for pair in zip(names, below, strict=True) for line in pair]


def columns(indent: int, rows: list[list[str]]) -> list[str]:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    padded = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows]
    return [" " * indent + "  ".join(row).rstrip() for row in padded]
