"""Lambda's on-failure record comes through the queue of `cfn/provider.yaml` and becomes the FAILED response."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from sandbox.response_recorder import ResponseRecorder
from sandbox.scenario import IMAGE, LOGICAL_ID, OTHER_IMAGE, TEMPLATES, DeployedWorld
from sandbox.world import World

RETRIES_EXHAUSTED = "Lambda exhausted its retries (3 attempts) for this request: every attempt failed"


@pytest.fixture(scope="module")
def deployed_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeployedWorld]:
    """A world with the provider's whole stack, as the README deploys it: only there Lambda has the queue."""
    with World.start(tmp_path_factory.mktemp("given-up"), time_scale=0.3) as world:
        world.prepare()
        token = world.deploy_provider(TEMPLATES / "provider.yaml")
        recorder = ResponseRecorder()
        yield DeployedWorld(world, token, recorder)
        recorder.close()


def kill_every_try(world: World) -> None:
    """Kills every try of the function."""
    for attempt in (1, 2, 3):
        killed = world.wait_for(f"try {attempt}", lambda: (one := world.post("/kill"))["killed"] and one)
        assert killed["attempt"] == attempt


def queue_of(deployed_world: DeployedWorld) -> dict[str, str]:
    """The attributes of the provider's queue: the world has no other."""
    sqs = deployed_world.world.client("sqs")
    (url,) = sqs.list_queues()["QueueUrls"]
    return dict(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"])


def times_on_failure(deployed_world: DeployedWorld) -> int:
    """How often the function got an on-failure record."""
    lines = [json.loads(line) for line in deployed_world.log_lines() if line.startswith("{")]
    return sum(line.get("step") == "on_failure" and line.get("condition") == "RetriesExhausted" for line in lines)


def test_on_failure_create_fails_at_once_and_leaves_nothing(deployed_world: DeployedWorld) -> None:
    world, before = deployed_world.world, times_on_failure(deployed_world)
    pool = deployed_world.start("givenup")
    world.wait_for("the pool's first parts", lambda: world.calls(service="autoscaling", writes=True))
    kill_every_try(world)
    reason = pool.failure_reason()
    print(reason)
    assert RETRIES_EXHAUSTED in reason
    assert pool.requests() == ["Create", "Delete"]
    assert [response["what"] for response in pool.responses()] == ["FAILED", "SUCCESS"]
    assert pool.leftovers() == []
    assert times_on_failure(deployed_world) == before + 1
    empty = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
    world.wait_for("an empty queue", lambda: {queue_of(deployed_world)[name] for name in empty} == {"0"})
    log = "\n".join(deployed_world.log_lines())
    assert [secret[:12] + "…" for secret in world.secrets() if secret in log] == []


def test_on_failure_update_keeps_the_running_job(deployed_world: DeployedWorld) -> None:
    world, before = deployed_world.world, times_on_failure(deployed_world)
    pool = deployed_world.start("halfway").up()
    old = pool.runner_ids()
    job = pool.run(12)
    pool.begin_update(Image=OTHER_IMAGE)
    world.wait_for("a new runner beside the old one", lambda: pool.runner_ids() > old)
    kill_every_try(world)
    pool.stack.settled().expect("UPDATE_ROLLBACK_COMPLETE")
    reason = pool.stack.reasons(LOGICAL_ID)[0]
    print(reason)
    assert RETRIES_EXHAUSTED in reason
    assert times_on_failure(deployed_world) == before + 1
    assert pool.job_ends(job) == "succeeded"
    assert pool.task_definition["containerDefinitions"][0]["image"] == IMAGE
    assert len(pool.online()) == len(pool.runners()) == 1
    pool.delete()
    assert pool.leftovers() == []
