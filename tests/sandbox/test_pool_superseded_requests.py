"""Two requests for one resource, of which one is no longer wanted: the newer one decides what is there in the end."""

from __future__ import annotations

from sandbox.leftovers import leftovers
from sandbox.scenario import LOGICAL_ID, DeployedWorld, Pool, Properties


def update_event(pool: Pool, new: Properties, old: Properties) -> Properties:
    return {
        "RequestType": "Update",
        "StackId": pool.stack.id,
        "LogicalResourceId": LOGICAL_ID,
        "PhysicalResourceId": pool.id,
        "ResourceProperties": new,
        "OldResourceProperties": old,
    }


def groups_of(pool: Pool) -> set[str]:
    """The Auto Scaling groups of the resource, whichever pool they are of."""
    stem = pool.id.rsplit("-", 1)[0]
    found = pool.world.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    return {group["AutoScalingGroupName"] for group in found if group["AutoScalingGroupName"].startswith(stem)}


def test_cancelled_replacement_is_deleted_with_its_rollback(deployed_world: DeployedWorld) -> None:
    pool = deployed_world.start("undecided").up()
    kept = [runner["id"] for runner in pool.online()]
    before = pool.sent_properties()
    after = {**before, "OrgName": "globex"}
    forward = deployed_world.send(update_event(pool, after, before))
    (other,) = pool.world.wait_for("the other pool", lambda: groups_of(pool) - {pool.id}, 30)
    back = deployed_world.send(update_event(pool, before, after))

    response = back.response(60)
    assert (response["Status"], response["PhysicalResourceId"]) == ("SUCCESS", pool.id), response
    assert response["Data"]["OnlineRunners"] == "1"
    forward.expect_superseded()
    assert leftovers(deployed_world.world, other) == []
    assert groups_of(pool) == {pool.id}
    assert [runner["id"] for runner in pool.online()] == kept
    pool.delete()
    assert pool.leftovers() == []
