"""What the scenarios share: a world with the deployed function, pools in stacks, and what is left of a pool.

    pool = stage.start("jobs", DesiredCount=2).up()
    pool.update(Image="myoung34/github-runner:ubuntu-jammy")
    pool.delete()
    assert pool.leftovers() == []

Properties that every pool needs are filled in; `None` takes one out. Timeouts are short: a
runner counts as idle after a second.
"""

from __future__ import annotations

import itertools
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sandbox.function import FUNCTION_NAME
from sandbox.leftovers import leftovers
from sandbox.response_recorder import ResponseRecorder
from sandbox.stacks import Stack
from sandbox.state_table import live_records
from sandbox.world import TOKEN_PARAMETER, Entry, World

IMAGE = "myoung34/github-runner:ubuntu-noble"
OTHER_IMAGE = "myoung34/github-runner:ubuntu-jammy"
BROKEN_IMAGE = "myoung34/github-runner:not-to-be-pulled"
ORGANIZATION = "orgs/acme"
LOGICAL_ID = "Runners"
# A customer managed key, which is a parameter of cfn/provider.yaml.
OWN_KEY = "arn:aws:kms:us-east-1:000000000000:key/0a1b2c3d-1111-2222-3333-444455556666"
# A role that it may not pass.
FOREIGN_ROLE = "arn:aws:iam::000000000000:role/admin"
# The roles that cfn/provider.yaml lets the function give to others.
ROLE_PATH = "/github-runner-pool/"
LOG_GROUP = f"/aws/lambda/{FUNCTION_NAME}"
TEMPLATES = Path(__file__).resolve().parents[2] / "cfn"
EVENTS = Path(__file__).resolve().parents[2] / "events"
ATTRIBUTES = (
    "ServiceArn",
    "ServiceName",
    "ClusterName",
    "TaskDefinitionArn",
    "CapacityProviderName",
    "AutoScalingGroupName",
    "AutoScalingGroupArn",
    "RunnerLabel",
    "RunnerNamePrefix",
    "DesiredCount",
    "OnlineRunners",
    "RunnerScaleSetName",
)
# In every response URL of a test, so that logs can be searched for it.
PLANTED_SIGNATURE = "5a9db0ffplantedresponsesignature"
_numbers = itertools.count(1)
Properties = dict[str, Any]


@dataclass
class DeployedWorld:
    """A world in which the function is deployed."""

    world: World
    token: str
    recorder: ResponseRecorder
    stacks: list[Stack] = field(default_factory=list)
    planted: list[str] = field(default_factory=list)
    """Secrets of tests, in addition to the world's."""

    def start_template(self, name: str, template: str | Path, **parameters: str) -> Stack:
        """Begins to create a stack from a template of the repository."""
        client = self.world.client("ssm")
        client.put_parameter(Name="/sandbox/ami", Value="ami-12345678", Type="String", Overwrite=True)
        network = self.world.network()
        given = {"OrgName": "acme", "GitHubUrl": self.world.github, "ImageId": "/sandbox/ami", **network, **parameters}
        stack = self.world.stacks.create(f"{name}{next(_numbers)}", template, given)
        self.stacks.append(stack)
        return stack

    def start(self, name: str, launch_template: Properties | None = None, **properties: Any) -> Pool:
        """Begins to create a stack with one pool, and the cluster, launch template and role below it.

        With `Cluster` given, the stack has none of its own; the same goes for `LaunchTemplate`. `launch_template` is
        more `LaunchTemplateData`.
        """
        body = self.template(launch_template or {}, properties)
        stack = self.world.stacks.create(f"{name}{next(_numbers)}", body, {})
        self.stacks.append(stack)
        return Pool(self, stack, properties, launch_template or {})

    def template(self, launch_template: Properties, properties: Properties, description: str = "A pool") -> str:
        merged = {**self.default_properties, **properties}
        given = {key: value for key, value in merged.items() if value is not None}
        resources: Properties = {
            LOGICAL_ID: {"Type": "Custom::GitHubRunnerPool", "Properties": given},
            "ExecutionRole": {
                "Type": "AWS::IAM::Role",
                "Properties": {
                    "Path": ROLE_PATH,
                    "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": []},
                },
            },
        }
        if merged["Cluster"] == {"Ref": "Cluster"}:
            resources["Cluster"] = {"Type": "AWS::ECS::Cluster"}
        if merged["LaunchTemplate"] == self.default_properties["LaunchTemplate"]:
            cluster = merged["Cluster"]
            user_data = {
                "Fn::Join": ["", ["#!/bin/bash\necho ECS_CLUSTER=", cluster or "", " >> /etc/ecs/ecs.config\n"]]
            }
            data: Properties = {
                "ImageId": "ami-12345678",
                "InstanceType": "t3.large",
                "UserData": {"Fn::Base64": user_data},
                **launch_template,
            }
            resources["LaunchTemplate"] = {
                "Type": "AWS::EC2::LaunchTemplate",
                "Properties": {"LaunchTemplateData": data},
            }
        outputs: Properties = {name: {"Value": {"Fn::GetAtt": [LOGICAL_ID, name]}} for name in ATTRIBUTES}
        outputs["Ref"] = {"Value": {"Ref": LOGICAL_ID}}
        return json.dumps({"Description": description, "Resources": resources, "Outputs": outputs})

    @property
    def default_properties(self) -> Properties:
        return {
            "ServiceToken": self.token,
            "OrgName": "acme",
            "GitHubUrl": self.world.github,
            "AccessTokenParameter": TOKEN_PARAMETER,
            "ExecutionRoleArn": {"Fn::GetAtt": ["ExecutionRole", "Arn"]},
            "Cluster": {"Ref": "Cluster"},
            "LaunchTemplate": {
                "LaunchTemplateId": {"Ref": "LaunchTemplate"},
                "Version": {"Fn::GetAtt": ["LaunchTemplate", "LatestVersionNumber"]},
            },
            "Subnets": self.world.network()["Subnets"],
            "DesiredCount": 1,
            "OnlineTimeout": 60,
            "IdleConfirmation": 1,
            "DrainTimeout": 120,
        }

    # The function, called without CloudFormation.

    def send(self, event: Properties, kind: str = "Event", signed_ago: int = 0, folder: str = "") -> SentRequest:
        """Sends the function an event whose response URL was signed so many seconds ago.

        In the folder `ResponseRecorder.REJECTED` its responses are rejected.
        """
        number = f"{folder}{next(_numbers)}"
        signed = datetime.now(UTC) - timedelta(seconds=signed_ago)
        url = f"{self.recorder.url}/{number}?X-Amz-Date={signed:%Y%m%dT%H%M%SZ}&X-Amz-Signature={PLANTED_SIGNATURE}"
        event = {
            "RequestId": str(uuid.uuid4()),
            "ResourceType": "Custom::GitHubRunnerPool",
            **event,
            "ResponseURL": url,
        }
        request = SentRequest(self, event, f"/{number}?")
        request.deliver(kind)
        return request

    def invoke(self, event: Properties) -> Properties:
        """Sends an event, waits for the invocation's end, and returns its response."""
        return self.send(event, "RequestResponse").response(0)

    def calls_since(self, sequence: int) -> list[Entry]:
        """What the function asked of AWS and GitHub. Only in a quiet world are they all of one pool."""
        return [call for call in self.world.get("/calls", after=sequence) if call["caller"] == "function"]

    @property
    def sequence(self) -> int:
        """Now, in the journal's numbers."""
        newest = [entry["seq"] for path in ("/events", "/calls") for entry in self.world.get(path)[-1:]]
        return max(newest, default=0)

    def log_lines(self) -> list[str]:
        """Every line of the function's log. A stream has an invocation's lines as they are written."""
        return [line for stream in self._streams() for line in self._stream(stream)]

    def _streams(self) -> list[str]:
        pages = self.world.client("logs").get_paginator("describe_log_streams")
        found = pages.paginate(logGroupName=LOG_GROUP)
        return [stream["logStreamName"] for page in found for stream in page["logStreams"]]

    def _stream(self, name: str) -> Iterator[str]:
        token: Properties = {}
        while True:
            page = self.world.client("logs").get_log_events(
                logGroupName=LOG_GROUP, logStreamName=name, startFromHead=True, **token
            )
            for event in page["events"]:
                yield from event["message"].splitlines()
            if not page["events"] or page["nextForwardToken"] == token.get("nextToken"):
                return
            token = {"nextToken": page["nextForwardToken"]}


@dataclass
class SentRequest:
    """An event that was sent to the function."""

    deployed_world: DeployedWorld
    event: Properties
    path: str

    def deliver(self, kind: str = "Event") -> None:
        """Delivers it, for the first time or again, as Lambda may with every event."""
        result = self.deployed_world.world.client("lambda").invoke(
            FunctionName=FUNCTION_NAME, InvocationType=kind, Payload=json.dumps(self.event).encode()
        )
        assert "FunctionError" not in result, result["Payload"].read()

    def expect_superseded(self) -> None:
        """Waits until it ends without a response, because a newer request superseded it."""

        def has_yielded() -> bool:
            lines = [json.loads(line) for line in self.deployed_world.log_lines() if '"superseded"' in line]
            return any(line.get("request_id") == self.event["RequestId"] for line in lines)

        self.deployed_world.world.wait_for("the end of the older request", has_yielded, 60)
        assert self.deployed_world.recorder.responses(self.path) == []

    def response(self, timeout: float) -> Properties:
        """Its response, which is the same each time it is sent."""
        responses = self.deployed_world.world.wait_for(
            "the response", lambda: self.deployed_world.recorder.responses(self.path), timeout
        )
        assert all(response == responses[0] for response in responses), responses
        assert responses[0]["RequestId"] == self.event["RequestId"]
        return responses[0]


@dataclass
class Pool:
    """A stack with one pool in it."""

    deployed_world: DeployedWorld
    stack: Stack
    properties: Properties
    launch_template: Properties

    @property
    def world(self) -> World:
        return self.deployed_world.world

    @property
    def id(self) -> str:
        """The physical id that it has, as long as the stack is there."""
        return self.stack.physical_id(LOGICAL_ID)

    @property
    def ids(self) -> set[str]:
        """Every physical id in the function's responses."""
        return {response["physical_id"] for response in self.responses()}

    # Changes.

    def up(self) -> Pool:
        """Waits until it was created."""
        self.stack.settled().expect("CREATE_COMPLETE")
        return self

    def failure_reason(self) -> str:
        """Waits until its creation has failed and was undone; the Reason."""
        self.stack.settled().expect("ROLLBACK_COMPLETE")
        reasons = self.stack.reasons(LOGICAL_ID)
        assert len(reasons) == 1, reasons
        return reasons[0]

    def begin_update(
        self, launch_template: Properties | None = None, description: str = "A pool", **changes: Any
    ) -> Stack:
        self.properties = {**self.properties, **changes}
        self.launch_template = {**self.launch_template, **(launch_template or {})}
        return self.stack.update(self.deployed_world.template(self.launch_template, self.properties, description))

    def update(self, launch_template: Properties | None = None, description: str = "A pool", **changes: Any) -> Pool:
        """Updates the stack and waits until that went well."""
        self.begin_update(launch_template, description, **changes).settled().expect("UPDATE_COMPLETE")
        return self

    def delete(self) -> Pool:
        """Deletes the stack and waits until that went well."""
        self.stack.delete().settled().expect("DELETE_COMPLETE")
        return self

    # What is there.

    @property
    def outputs(self) -> dict[str, str]:
        return self.stack.outputs

    @property
    def cluster(self) -> str:
        return self.outputs["ClusterName"]

    def requests(self) -> list[str]:
        """What CloudFormation asked for, in order."""
        return [event["what"] for event in self.world.events("request") if event["stack_id"] == self.stack.id]

    def sent_properties(self) -> Properties:
        """The properties as CloudFormation would send them: resolved, every scalar a string."""
        found: Properties = {
            **self.deployed_world.default_properties,
            "ExecutionRoleArn": self.task_definition["executionRoleArn"],
            "Cluster": self.cluster,
            **self.properties,
        }
        group = self.group["LaunchTemplate"]
        found["LaunchTemplate"] = {"LaunchTemplateId": group["LaunchTemplateId"], "Version": group["Version"]}
        return dict(as_strings({key: value for key, value in found.items() if value is not None}))

    def responses(self) -> list[Entry]:
        """The function's responses, in order."""
        ids = {event["request_id"] for event in self.world.events("request") if event["stack_id"] == self.stack.id}
        return [
            event
            for event in self.world.events("response")
            if event["what"] in ("SUCCESS", "FAILED") and event["request_id"] in ids
        ]

    def runners(self, target: str = ORGANIZATION) -> list[Entry]:
        """Those with its label that GitHub lists."""
        return [runner for runner in self.world.runners(target) if self.id in runner["labels"]]

    def online(self, target: str = ORGANIZATION) -> list[Entry]:
        return [runner for runner in self.runners(target) if runner["status"] == "online"]

    def runner_ids(self, target: str = ORGANIZATION) -> set[int]:
        return {runner["id"] for runner in self.online(target)}

    @property
    def service(self) -> Entry:
        ecs = self.world.client("ecs")
        found = ecs.describe_services(cluster=self.cluster, services=[self.id], include=["TAGS"])["services"]
        return dict(found[0])

    @property
    def group(self) -> Entry:
        found = self.world.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[self.id])
        return dict(found["AutoScalingGroups"][0])

    @property
    def provider(self) -> Entry:
        ecs = self.world.client("ecs")
        found = ecs.describe_capacity_providers(capacityProviders=[self.id], include=["TAGS"])["capacityProviders"]
        return dict(found[0])

    @property
    def task_definition(self) -> Entry:
        """The one that the service works towards, with its tags."""
        ecs = self.world.client("ecs")
        found = ecs.describe_task_definition(taskDefinition=self.service["taskDefinition"], include=["TAGS"])
        return {**found["taskDefinition"], "tags": found.get("tags", [])}

    def tasks(self) -> list[Entry]:
        """Those whose desired status is RUNNING."""
        ecs = self.world.client("ecs")
        arns = ecs.list_tasks(cluster=self.cluster, serviceName=self.id, desiredStatus="RUNNING")["taskArns"]
        return list(ecs.describe_tasks(cluster=self.cluster, tasks=arns)["tasks"]) if arns else []

    def container_instances(self) -> list[Entry]:
        ecs = self.world.client("ecs")
        arns = ecs.list_container_instances(cluster=self.cluster)["containerInstanceArns"]
        if not arns:
            return []
        found = ecs.describe_container_instances(cluster=self.cluster, containerInstances=arns)
        return list(found["containerInstances"])

    # Jobs.

    def queue(self, seconds: float, runner: str | None = None) -> int:
        """A job that only this pool's runners take."""
        return self.world.queue_job([self.id], seconds, runner)

    def run(self, seconds: float, runner: str | None = None) -> int:
        """The same, running by the time this returns."""
        job = self.queue(seconds, runner)
        self.world.wait_for("the job to run", lambda: self.world.job(job)["state"] == "running")
        return job

    def job_ends(self, job: int, timeout: float = 60) -> str:
        """How it ends."""
        self.world.wait_for(
            f"the end of job {job}", lambda: self.world.job(job)["state"] in ("succeeded", "lost"), timeout
        )
        return str(self.world.job(job)["state"])

    # What is left.

    def leftovers(self) -> list[str]:
        """Everything in AWS and GitHub that still goes by one of its ids, and its lock record if it is no tombstone."""
        left = [f"{thing} of {pool_id}" for pool_id in self.ids for thing in leftovers(self.world, pool_id)]
        below = self.stack.id.split(":stack/")[1]
        return left + [f"lock record {key}" for key in live_records(self.world) if key.startswith(f"{below}/")]


def as_strings(value: Any) -> Any:
    """What CloudFormation makes of properties: scalars are strings at any depth."""
    if isinstance(value, dict):
        return {key: as_strings(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_strings(item) for item in value]
    return str(value).lower() if isinstance(value, bool) else str(value)
