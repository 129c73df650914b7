"""Two requests for one resource, of which one is no longer wanted: the newer one decides what is there in the end."""

from __future__ import annotations

from sandbox.scenario import LOGICAL_ID, Pool, Properties, Stage, leftovers


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


def test_what_a_cancelled_replacement_built_goes_with_its_rollback(stage: Stage) -> None:
    pool = stage.start("undecided").up()
    kept = [runner["id"] for runner in pool.online()]
    before = pool.sent_properties()
    after = {**before, "OrgName": "globex"}
    forward = stage.send(update_event(pool, after, before))
    (other,) = pool.world.wait_for("the other pool", lambda: groups_of(pool) - {pool.id}, 30)
    back = stage.send(update_event(pool, before, after))

    answer = back.answer(60)
    assert (answer["Status"], answer["PhysicalResourceId"]) == ("SUCCESS", pool.id), answer
    assert answer["Data"]["OnlineRunners"] == "1"
    forward.is_taken_over()
    assert leftovers(stage.world, other) == []
    assert groups_of(pool) == {pool.id}
    assert [runner["id"] for runner in pool.online()] == kept
    pool.delete()
    assert pool.leftovers() == []
