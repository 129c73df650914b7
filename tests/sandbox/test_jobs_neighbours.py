"""`MaxRunners` beside other pools: a rollback, a replacement, a deletion. In a world of its own, with a minute rule."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.response_recorder import ResponseRecorder
from sandbox.scenario import BROKEN_IMAGE, TEMPLATES, DeployedWorld, Pool
from sandbox.world import World


@pytest.fixture(scope="module")
def neighbours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Pool]]:
    """A fixed pool and two with as many runners as jobs, in one cluster."""
    settings: dict[str, Any] = {
        "time_scale": 0.3,
        "authorize": "true",
        "minute": 20,
        "points_per_minute": 1_000_000,
        "hourly_requests": 1_000_000,
    }
    with World.start(tmp_path_factory.mktemp("neighbours"), **settings) as started:
        started.prepare()
        started.post("/faults", images=[BROKEN_IMAGE])
        recorder = ResponseRecorder()
        deployed = DeployedWorld(started, started.deploy_provider(TEMPLATES / "provider.yaml"), recorder)
        fixed = deployed.start("fixed", DesiredCount=2).up()
        scaled = {
            name: deployed.start(
                name, DesiredCount=None, MaxRunners=4, MinRunners=minimum, Cluster=fixed.cluster, OnlineTimeout=60
            )
            for name, minimum in (("kept", 1), ("none", 0))
        }
        yield {"fixed": fixed, **{name: pool.up() for name, pool in scaled.items()}}
        recorder.close()


def scale_set(pool: Pool) -> dict[str, Any]:
    return next(dict(found) for found in pool.world.get("/scale-sets") if found["name"] == pool.id)


def test_rollback_of_an_image_that_cannot_be_pulled_keeps_the_job_and_the_scale_set(
    neighbours: dict[str, Pool],
) -> None:
    pool = neighbours["kept"]
    set_id, job = scale_set(pool)["id"], pool.run(10)
    pool.begin_update(Image=BROKEN_IMAGE).settled().expect("UPDATE_ROLLBACK_COMPLETE")
    reason = pool.stack.reasons("Runners")[-1]
    assert "Image: myoung34/github-runner:not-to-be-pulled failed, 3 tasks stopped" in reason, reason
    assert pool.job_ends(job) == "succeeded"
    assert scale_set(pool)["id"] == set_id
    assert pool.job_ends(pool.queue(1)) == "succeeded"


def test_changed_labels_replace_the_pool_and_its_scale_set(neighbours: dict[str, Pool]) -> None:
    pool = neighbours["none"]
    before, job = pool.id, pool.run(6)
    pool.update(Labels=["gpu"])
    assert pool.id != before
    assert pool.job_ends(job) == "succeeded"
    names = {found["name"] for found in pool.world.get("/scale-sets")}
    assert pool.id in names
    assert before not in names
    assert pool.world.client("ecs").list_tasks(cluster=pool.cluster, family=before)["taskArns"] == []


def test_delete_drains_a_running_job_and_leaves_the_neighbours(neighbours: dict[str, Pool]) -> None:
    kept, none = neighbours["kept"], neighbours["none"]
    job = kept.run(6)
    for pool in (kept, none):
        pool.delete()
        assert pool.leftovers() == []
    assert kept.world.job(job)["state"] == "succeeded"
    assert len(neighbours["fixed"].online()) == 2
    neighbours["fixed"].delete()
