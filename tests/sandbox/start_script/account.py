"""What the containers of a test module share: AWS with the table and the roles, and the function with its answers."""

from __future__ import annotations

import base64
import itertools
import json
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sandbox.start_script.agent import Agent
from sandbox.start_script.container import Container
from sandbox.start_script.function import Answer, Function, make_table
from sandbox.start_script.network import Network
from sandbox.world import World

TABLE = "pools-registrations"
TOKEN = "AREGISTRATIONTOKENTHATNOJOBMAYREAD"
WORK_ROOT = f"{tempfile.gettempdir()}/start-script-work-{os.getpid()}"
JIT_FILES = {
    ".runner": '{"AgentName": "runner", "DisableUpdate": true}\n',
    ".credentials": '{"scheme": "OAuth"}',
    ".credentials_rsaparams": '{"modulus": "a secret of the runner"}',
}
_numbers = itertools.count(1)


@dataclass
class Account:
    """What the containers of a test module share."""

    world: World
    agent: Agent
    network: Network
    function: Function
    containers: list[Container] = field(default_factory=list)

    @classmethod
    def make(cls, world: World) -> Account:
        make_table(world, TABLE)
        iam = world.client("iam")
        statement = {"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}
        # MiniStack's root stands for the ECS agent.
        root = {**statement, "Principal": {"AWS": f"arn:aws:iam::{world.account}:root"}}
        for role in ("runner", "without-permissions"):
            document = json.dumps({"Version": "2012-10-17", "Statement": [statement, root]})
            iam.create_role(RoleName=role, AssumeRolePolicyDocument=document)
        own_item = {"Effect": "Allow", "Action": ["dynamodb:PutItem", "dynamodb:DeleteItem"], "Resource": "*"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [own_item]})
        iam.put_role_policy(RoleName="runner", PolicyName="registration", PolicyDocument=document)
        return cls(world, Agent(), Network(world.aws), Function(world, TABLE))

    def close(self) -> None:
        for service in (self.network, self.agent, self.function):
            service.close()

    def task(self, *answers: Answer | None, role: str = "runner", session: str = "", **environment: str) -> Container:
        """A container of a new task, which the function answers with these. It is not started."""
        task = f"{next(_numbers):032x}"
        self.function.answers[task] = list(answers) or [None]
        return self.container(task, role, session or task, environment)

    def container(self, task: str, role: str, session: str, environment: dict[str, str]) -> Container:
        sts = self.world.client("sts")
        role_arn = f"arn:aws:iam::{self.world.account}:role/{role}"
        credentials = sts.assume_role(RoleArn=role_arn, RoleSessionName=session)["Credentials"]
        arn = f"arn:aws:ecs:{self.world.region}:{self.world.account}:task/main/{task}"
        self.agent.documents[f"/{task}/task"] = {"TaskARN": arn, "Cluster": "main"}
        self.agent.documents[f"/{task}/credentials"] = {
            "RoleArn": role_arn,
            "AccessKeyId": credentials["AccessKeyId"],
            "SecretAccessKey": credentials["SecretAccessKey"],
            "Token": credentials["SessionToken"],
            "Expiration": credentials["Expiration"].strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        made = Container(
            Path(tempfile.mkdtemp(prefix="container-")),
            {
                "AWS_ENDPOINT_URL": self.network.url,
                "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{self.agent.url}/{task}/credentials",
                "ECS_CONTAINER_METADATA_URI_V4": f"{self.agent.url}/{task}",
                "REGISTRATIONS_TABLE": TABLE,
                **environment,
            },
        )
        self.containers.append(made)
        return made

    def key(self, container: Container) -> str:
        task = container.environment["ECS_CONTAINER_METADATA_URI_V4"].rpartition("/")[2]
        role = self.world.client("iam").get_role(RoleName="runner")["Role"]
        return f"{role['RoleId']}:{task}"

    def requests(self, container: Container) -> list[dict[str, Any]]:
        return self.function.requests_of(self.key(container).rpartition(":")[2])


def jit(name: str = "builds-0123456789-0a1b2c3d4e5f", workdir: str = "") -> Answer:
    files = {file: base64.b64encode(text.encode()).decode() for file, text in JIT_FILES.items()}
    return {"kind": "jit", "name": name, "workdir": workdir or f"{WORK_ROOT}/{name}", "files": files}


def token(**changes: Any) -> Answer:
    answer = {
        "kind": "token",
        "name": "builds-0123456789-0a1b2c3d4e5f",
        "workdir": f"{WORK_ROOT}/builds-0123456789-0a1b2c3d4e5f",
        "url": "https://github.com/acme",
        "token": TOKEN,
        "labels": "a,b,ghr-pool",
        "ephemeral": False,
        "disable_update": True,
        "no_default_labels": False,
    }
    return answer | changes
