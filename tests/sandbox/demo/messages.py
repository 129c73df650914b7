"""What the entries of the sandbox's journal mean, in words: calls of the pool, and events of the world.

An operation that is not listed is shown by its own name, so that a new one is not lost.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from sandbox.demo.screen import Line, Source, Tone, counted

Entry = dict[str, Any]
Wire = dict[str, Any]

# Auto Scaling's names of states, and those of the ECS agent on the instance.
_MACHINES = {
    "Pending": "is launched",
    "Terminating:Wait": "is to end, once its tasks are gone",
    "terminated": "is gone",
}
_INSTANCES = {
    "ACTIVE": "joined the cluster",
    "DRAINING": "takes no new tasks",
    "disconnected": "lost its agent",
    "cannot register": "found no cluster to join",
}
_RUNNERS = {
    "registered": ("registered", Tone.QUIET),
    "online": ("online", Tone.GOOD),
    "exited": ("gone: its container ended", Tone.PLAIN),
    "left behind": ("its machine ended under it", Tone.BAD),
    "not registered": ("waits for its registration", Tone.WARN),
    "cannot configure": ("cannot register", Tone.BAD),
}
# By the ends of their paths.
_GITHUB = {
    "/registration-token": "asks for a registration token",
    "/generate-jitconfig": "registers a runner just in time",
    "/runner-registration": "signs in to the service of runner scale sets",
    "/access_tokens": "signs in as the App",
}
_SCALE_SETS = [
    (r"POST .*/runnerscalesets$", "creates the runner scale set"),
    (r"DELETE .*/runnerscalesets/\d+$", "deletes the runner scale set"),
    (r"POST .*/sessions$", "opens the scale set's session"),
    (r"PATCH .*/sessions/", "renews the scale set's session"),
    (r"DELETE .*/sessions/", "closes the scale set's session"),
    (r"POST .*/generatejitconfig$", "registers a runner of the scale set just in time"),
    (r"DELETE .*/messages?/?\d+$", "acknowledges a message, acted upon"),
]
# Items of the state table, by the beginnings of their keys.
_ITEMS = [
    ("scaled-pools", "puts the pool on the listener's list, or takes it off"),
    ("remains#", "records what a deleted pool may have left at GitHub"),
    ("scaling#", "writes down what is wanted of the pool, or how far its listener is"),
]
# Writes that are repeated as long as there is a listener.
QUIET_KEYS = ("listener", "scaling#")
_GITHUB_RUNNER = re.compile(r"DELETE .*/actions/runners/(\d+)")
_GITHUB_ERRORS = {403: "no permission", 404: "not found", 422: "it has a job", 429: "throttled"}


def tail(name: str) -> str:
    """The distinguishing part of a long name."""
    last = name.rsplit("/", 1)[-1]
    return f"i-{last[-6:]}" if last.startswith("i-") else last.rsplit("-", 1)[-1]


def call(entry: Entry, runner_names: dict[int, str]) -> Line:
    """A write that the pool has made."""
    service: str = entry["service"]
    operation, request = entry["operation"], entry.get("request") or {}
    failed = entry["status"] >= 400
    if service == "scale-sets":
        subject, text = "GitHub", _scale_set(operation, entry["status"], runner_names)
    elif service == "github":
        subject, text = "GitHub", _github(operation, entry["status"], runner_names)
    else:
        subject = {"ecs": "ECS", "autoscaling": "Auto Scaling", "dynamodb": "DynamoDB", "lambda": "Lambda"}.get(
            service, service
        )
        say = _AWS.get(operation)
        text = say(request) if say else operation
        text += f": {entry['error'] or entry['status']}" if failed else ""
    return Line(entry["at"], Source.POOL, subject, text, Tone.WARN if failed else Tone.PLAIN)


def event(entry: Entry) -> Line | None:
    """An event of the world that is worth a line; the timeline prints jobs, since it knows their names."""
    describe = _EVENTS.get(entry["kind"])
    return describe(entry) if describe else None


def _github(operation: str, status: int, runner_names: dict[int, str]) -> str:
    if found := _GITHUB_RUNNER.fullmatch(operation):
        name = tail(runner_names.get(int(found[1]), found[1]))
        return f"deletes runner {name}" + ("" if status < 400 else f" - {_GITHUB_ERRORS.get(status, status)}")
    text = next((text for end, text in _GITHUB.items() if operation.endswith(end)), operation)
    return text + ("" if status < 400 else f" - {_GITHUB_ERRORS.get(status, status)}")


def _scale_set(operation: str, status: int, runner_names: dict[int, str]) -> str:
    text = next((text for pattern, text in _SCALE_SETS if re.search(pattern, operation)), operation)
    if found := re.search(r"agents/(\d+)$", operation):
        text = f"deletes runner {tail(runner_names.get(int(found[1]), found[1]))}"
    return text + ("" if status < 400 else f" - {_GITHUB_ERRORS.get(status, status)}")


def _written(request: Wire) -> str:
    key = str(request.get("key"))
    return next((text for prefix, text in _ITEMS if key.startswith(prefix)), "records the request, or its response")


def _definition(request: Wire) -> str:
    images = [container["image"] for container in request.get("containerDefinitions", [])]
    return "registers a task definition with " + ", ".join(image.split("/")[-1] for image in images)


def _association(request: Wire) -> str:
    names = request.get("capacityProviders", [])
    return "adds its capacity provider to the cluster" if names else "takes its capacity provider off the cluster"


def _service(request: Wire) -> str:
    changes = []
    if "desiredCount" in request:
        changes.append(counted(int(request["desiredCount"]), "runner"))
    if "taskDefinition" in request:
        changes.append("task definition " + request["taskDefinition"].rsplit(":", 1)[-1])
    return "sets the service to " + ", ".join(changes) if changes else "changes the service"


def _protection(request: Wire) -> str:
    tasks = counted(len(request.get("tasks", [])), "task")
    return f"protects {tasks}" if request.get("protectionEnabled") else f"lifts the protection of {tasks}"


def _group(request: Wire) -> str:
    if request.get("MaxSize") == "0":
        return "empties the group"
    return "changes the group"


_AWS: dict[str, Callable[[Wire], str]] = {
    "RegisterTaskDefinition": _definition,
    "DeregisterTaskDefinition": lambda r: f"retires task definition {r.get('taskDefinition', '').rsplit(':', 1)[-1]}",
    "DeleteTaskDefinitions": lambda r: f"deletes {counted(len(r.get('taskDefinitions', [])), 'task definition')}",
    "CreateCapacityProvider": lambda _: "creates the capacity provider",
    "UpdateCapacityProvider": lambda _: "changes the capacity provider",
    "DeleteCapacityProvider": lambda _: "deletes the capacity provider",
    "PutClusterCapacityProviders": _association,
    "CreateService": lambda r: f"creates the service with {counted(int(r.get('desiredCount', 0)), 'runner')}",
    "UpdateService": _service,
    "DeleteService": lambda _: "deletes the service",
    "UpdateTaskProtection": _protection,
    "StopTask": lambda r: f"stops the task {tail(r.get('task', ''))[:12]}, whose runner is gone",
    "UpdateContainerInstancesState": lambda r: (
        f"sets {counted(len(r.get('containerInstances', [])), 'instance')} to {r.get('status', '')}"
    ),
    "DeregisterContainerInstance": lambda _: "takes an instance off the cluster",
    "TagResource": lambda _: "sets tags",
    "UntagResource": lambda _: "removes tags",
    "CreateAutoScalingGroup": lambda r: f"creates the group {r.get('AutoScalingGroupName')}, empty",
    "UpdateAutoScalingGroup": _group,
    "DeleteAutoScalingGroup": lambda _: "deletes the group",
    "SetInstanceProtection": lambda _: "lets the instances go",
    "DeleteLifecycleHook": lambda _: "deletes a lifecycle hook",
    "PutLifecycleHook": lambda _: "creates the launch hook",
    "CompleteLifecycleAction": lambda _: "lets an instance join the group",
    "PutWarmPool": lambda _: "creates or changes the warm pool",
    "DeleteWarmPool": lambda _: "deletes the warm pool",
    "CreateOrUpdateTags": lambda _: "sets tags",
    "DeleteTags": lambda _: "removes tags",
    "Invoke": lambda _: "continues in another invocation of the function",
    "RunTask": lambda r: f"starts {counted(int(r.get('count', 1)), 'task')}",
    "PutItem": lambda r: (
        f"claims the registration of task {tail(r['key'])[:6]}"
        if str(r.get("key")).startswith("registration#")
        else _written(r)
    ),
    "UpdateItem": lambda r: f"answers task {str(r.get('key')).rsplit(':', 1)[-1][:6]}, which asks for its registration",
}


def _machine(entry: Entry) -> Line | None:
    text = _MACHINES.get(entry["what"])
    return Line(entry["at"], Source.INSTANCE, tail(entry["machine"]), text) if text else None


def _instance(entry: Entry) -> Line | None:
    text = _INSTANCES.get(entry["what"])
    return Line(entry["at"], Source.INSTANCE, tail(entry["machine"]), text) if text else None


def _scaling(entry: Entry) -> Line | None:
    if entry["what"] in ("scaled out", "scaled in"):
        text = f"{counted(entry['desired'], 'instance')} wanted"
        return Line(entry["at"], Source.INSTANCE, "managed scaling", text, Tone.QUIET)
    if entry["what"] == "launch failed":
        return Line(entry["at"], Source.INSTANCE, "group", f"launch failed: {entry['reason']}", Tone.BAD)
    return None


def _runner(entry: Entry) -> Line | None:
    what = entry["what"]
    if what not in _RUNNERS:
        return None
    text, tone = _RUNNERS[what]
    if what == "registered" and (definition := entry.get("definition")):
        text += f", from task definition {definition.rsplit(':', 1)[-1]}"
    if reason := entry.get("reason"):
        text += f": {reason}"
    return Line(entry["at"], Source.RUNNER, tail(entry.get("runner") or entry.get("task") or ""), text, tone)


def _response(entry: Entry) -> Line | None:
    if entry["what"] == "SUCCESS":
        text = f"responds SUCCESS after {entry['seconds']:.1f} s"
        if entry.get("reason"):
            text += f": {entry['reason']}"
        return Line(entry["at"], Source.POOL, "CloudFormation", text, Tone.GOOD)
    if entry["what"] == "FAILED":
        return Line(
            entry["at"], Source.POOL, "CloudFormation", f"responds FAILED after {entry['seconds']:.1f} s", Tone.BAD
        )
    return None


_EVENTS: dict[str, Callable[[Entry], Line | None]] = {
    "machine": _machine,
    "instance": _instance,
    "group": _scaling,
    "runner": _runner,
    "response": _response,
}
