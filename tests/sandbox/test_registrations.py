"""A container asks for its registration through the registrations table, and becomes a runner by the answer."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.ecs_pool import EcsPool
from sandbox.registrations import TABLE, Mailbox
from sandbox.world import World

LOG_GROUP = "/ci/asking-runners"
JIT_CONFIG = "/orgs/acme/actions/runners/generate-jitconfig"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world in which the tasks' calls are checked against policies."""
    pace: dict[str, Any] = {"time_scale": 0.3, "registration_wait": 40}
    with World.start(tmp_path_factory.mktemp("registrations"), authorize="true", **pace) as started:
        started.prepare()
        started.client("logs").create_log_group(logGroupName=LOG_GROUP)
        yield started


@pytest.fixture(scope="module")
def mailbox(world: World) -> Iterator[Mailbox]:
    made = Mailbox(world)
    yield made
    made.delete()


@pytest.fixture
def pool(world: World) -> Iterator[EcsPool]:
    made = EcsPool(world)
    yield made
    made.tear_down()


def start(pool: EcsPool, role: str | None, **environment: str) -> str:
    """The ARN of a task that asks, in a service."""
    definition = pool.define_asking(TABLE, role, LOG_GROUP, **environment)
    pool.make_capacity().make_service(1, definition)
    return str(pool.world.wait_for("a task", pool.tasks)[0]["taskArn"])


def jit(world: World, name: str, label: str) -> dict[str, Any]:
    """An answer with a just-in-time configuration."""
    asked = {"name": name, "runner_group_id": 1, "labels": [label], "work_folder": f"/_work/{name}"}
    status, made = world.github_call("POST", JIT_CONFIG, body=asked)
    assert status == 201, made
    files = json.loads(base64.b64decode(made["encoded_jit_config"]))
    return {"kind": "jit", "name": name, "workdir": f"/_work/{name}", "files": files}


def token(world: World, name: str, label: str, **more: Any) -> dict[str, Any]:
    """An answer with a registration token."""
    answer = {
        "kind": "token",
        "name": name,
        "workdir": f"/_work/{name}",
        "url": f"{world.github}/acme",
        "token": world.post("/github/registration-tokens", target="orgs/acme")["token"],
        "labels": label,
        "ephemeral": False,
        "disable_update": True,
        "no_default_labels": False,
    }
    return {**answer, **more}


def lines(world: World, task_arn: str) -> list[str]:
    """A container's log."""
    logs = world.client("logs")
    streams = logs.describe_log_streams(logGroupName=LOG_GROUP)["logStreams"]
    names = [one["logStreamName"] for one in streams if one["logStreamName"].endswith(task_arn.rsplit("/", 1)[-1])]
    return [
        event["message"]
        for name in names
        for event in logs.get_log_events(logGroupName=LOG_GROUP, logStreamName=name)["events"]
    ]


def test_request_has_the_key_of_the_task_and_its_arn(world: World, pool: EcsPool, mailbox: Mailbox) -> None:
    task = start(pool, mailbox.runner_role)
    request = mailbox.request(task)
    role = world.client("iam").get_role(RoleName=mailbox.runner_role.rsplit("/", 1)[-1])["Role"]
    assert request["key"]["S"] == f"{role['RoleId']}:{task.rsplit('/', 1)[-1]}"
    assert request["attempt"] == request["format"] == {"N": "1"}
    calls = [call["operation"] for call in world.calls(caller="task")]
    assert calls[:2] == ["GetCallerIdentity", "PutItem"]


def test_jit_configuration_brings_a_runner_online_for_one_job(world: World, pool: EcsPool, mailbox: Mailbox) -> None:
    task = start(pool, mailbox.runner_role)
    request = mailbox.request(task)
    answer = jit(world, pool.name, pool.label)
    _, listed = world.github_call("GET", "/orgs/acme/actions/runners", name=pool.name)
    [offline] = listed["runners"]
    assert (offline["status"], offline["os"], offline["ephemeral"]) == ("offline", "unknown", True)
    mailbox.answer(request, **answer)
    [runner] = pool.wait_online(1)
    assert (runner["id"], runner["labels"]) == (offline["id"], [pool.label])
    assert mailbox.item(task) is None
    job = world.queue_job([pool.label], seconds=0.3)
    world.wait_for("success", lambda: world.job(job)["state"] == "succeeded")
    world.wait_for("its end", lambda: runner["id"] not in [one["id"] for one in world.runners()])


def test_standalone_task_asks_for_its_registration(world: World, pool: EcsPool, mailbox: Mailbox) -> None:
    pool.make_capacity()
    given = {"cluster": pool.cluster, "taskDefinition": pool.define_asking(TABLE, mailbox.runner_role, LOG_GROUP)}
    strategy = [{"capacityProvider": pool.name, "weight": 1}]
    [made] = pool.ecs.run_task(**given, capacityProviderStrategy=strategy)["tasks"]
    task = made["taskArn"]
    mailbox.answer(mailbox.request(task), **jit(world, pool.name, pool.label))
    pool.wait_online(1)
    job = world.queue_job([pool.label], seconds=0.3)
    find = {"cluster": pool.cluster, "tasks": [task]}
    world.wait_for("its end", lambda: pool.ecs.describe_tasks(**find)["tasks"][0]["lastStatus"] == "STOPPED")
    assert world.job(job)["state"] == "succeeded"
    # Nothing takes its place.
    assert pool.ecs.list_tasks(cluster=pool.cluster)["taskArns"] == []


def test_registration_token_configures_a_runner_that_stays_when_its_task_is_stopped(
    world: World, pool: EcsPool, mailbox: Mailbox
) -> None:
    task = start(pool, mailbox.runner_role)
    group = world.post("/github/runner-groups", target="orgs/acme", name=f"group-{pool.name}")
    mailbox.answer(mailbox.request(task), **token(world, pool.name, pool.label, group=group["name"]))
    [runner] = pool.wait_online(1)
    assert runner["labels"] == ["self-hosted", "Linux", "X64", pool.label]
    assert runner["runner_group_id"] == group["id"]
    pool.ecs.stop_task(cluster=pool.cluster, task=task)
    path = f"/orgs/acme/actions/runners/{runner['id']}"
    world.wait_for("offline", lambda: world.github_call("GET", path)[1]["status"] == "offline")


def test_expired_registration_token_ends_the_container(world: World, pool: EcsPool, mailbox: Mailbox) -> None:
    task = start(pool, mailbox.runner_role)
    expired = world.post("/github/registration-tokens", target="orgs/acme", life=-1)["token"]
    mailbox.answer(mailbox.request(task), **token(world, pool.name, pool.label, token=expired))
    world.wait_for("its end", lambda: task in [ended["taskArn"] for ended in pool.tasks("STOPPED")])
    assert "Invalid configuration provided for token" in lines(world, task)[-1]


def test_refusal_is_logged_and_the_container_asks_again(world: World, pool: EcsPool, mailbox: Mailbox) -> None:
    task = start(pool, mailbox.runner_role)
    mailbox.answer(mailbox.request(task), kind="refused", message="AccessTokenParameter: GitHub said no.", retry=True)
    again = mailbox.request(task, attempt=2)
    world.wait_for("the log", lambda: any("GitHub said no." in line for line in lines(world, task)))
    mailbox.answer(again, **jit(world, pool.name, pool.label))
    pool.wait_online(1)


def test_refusal_without_retry_ends_the_container(world: World, pool: EcsPool, mailbox: Mailbox) -> None:
    task = start(pool, mailbox.runner_role)
    mailbox.answer(mailbox.request(task), kind="refused", message="This task is of no pool.", retry=False)
    world.wait_for("its end", lambda: task in [ended["taskArn"] for ended in pool.tasks("STOPPED")])
    [ended] = [one for one in pool.tasks("STOPPED") if one["taskArn"] == task]
    assert ended["containers"][0]["exitCode"] == 1
    assert lines(world, task)[-1].endswith("This task is of no pool.")


def test_request_without_an_answer_is_put_again_with_the_next_attempt(
    world: World, pool: EcsPool, mailbox: Mailbox
) -> None:
    task = start(pool, mailbox.runner_role)
    assert mailbox.request(task, attempt=3)["key"] == mailbox.request(task)["key"]
    pool.ecs.stop_task(cluster=pool.cluster, task=task)
    world.wait_for("its end", lambda: task in [ended["taskArn"] for ended in pool.tasks("STOPPED")])
    last = mailbox.item(task)
    world.wait_for("another task", pool.tasks)
    assert mailbox.item(task) == last


def test_container_without_a_registration_in_time_ends_and_says_why(
    world: World, pool: EcsPool, mailbox: Mailbox
) -> None:
    task = start(pool, mailbox.runner_role)
    mailbox.answer(mailbox.request(task), kind="refused", message="GitHub: no.", retry=True)
    world.wait_for("its end", lambda: task in [ended["taskArn"] for ended in pool.tasks("STOPPED")])
    assert lines(world, task)[-1].endswith("no registration in time: GitHub: no.")


@pytest.mark.parametrize("role", [None, "arn:aws:iam::000000000000:role/execution"])
def test_task_without_a_role_that_ecs_may_assume_has_no_credentials(
    world: World, pool: EcsPool, mailbox: Mailbox, role: str | None
) -> None:
    assert mailbox.runner_role != role
    start(pool, role)
    ended = world.wait_for("its end", lambda: pool.tasks("STOPPED"))[0]
    assert ended["containers"][0]["exitCode"] == 1
    wanted = "no task role" if role is None else "unable to assume the role"
    assert wanted in lines(world, ended["taskArn"])[-1]
