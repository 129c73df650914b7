"""Errors of AWS and GitHub that the function retries, waits out or reports."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from sandbox.scenario import LOGICAL_ID, OTHER_IMAGE, DeployedWorld, Pool, Properties, SentRequest
from sandbox.world import TOKEN_PARAMETER

# Runs, and registers no runner.
OTHER_SOFTWARE = "docker.io/library/nginx:stable"
# A container has three minutes to register a runner before it counts as one that never will; in seconds.
REGISTRATION = 360


@dataclass
class HalfDeleted:
    """A pool with old tasks and new ones, more than the count that may be protected, and its Delete."""

    pool: Pool
    job: int
    delete: SentRequest


@pytest.fixture(scope="module")
def half_deleted(deployed_world: DeployedWorld) -> HalfDeleted:
    """Sent before the first test, which has the same three minutes to wait."""
    pool = deployed_world.start("halfdeleted", DesiredCount=2).up()
    job = pool.run(12)
    pool.begin_update(Image=OTHER_SOFTWARE, OnlineTimeout=60)
    pool.world.wait_for("new tasks in addition to the old ones", lambda: len(pool.tasks()) == 4)
    event = {
        "RequestType": "Delete",
        "StackId": pool.stack.id,
        "LogicalResourceId": LOGICAL_ID,
        "PhysicalResourceId": pool.id,
        "ResourceProperties": pool.sent_properties(),
    }
    return HalfDeleted(pool, job, deployed_world.send(event))


@pytest.mark.usefixtures("half_deleted")
def test_deployment_blocked_rollback_while_a_job_runs(deployed_world: DeployedWorld) -> None:
    """The old tasks are protected and the new ones run, so ECS returns DEPLOYMENT_BLOCKED during the rollback.

    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-scale-in-protection.html
    """
    pool = deployed_world.start("neveronline", DesiredCount=2).up()
    job = pool.run(25)
    pool.begin_update(Image=OTHER_SOFTWARE, OnlineTimeout=4)
    pool.stack.settled(REGISTRATION).expect("UPDATE_ROLLBACK_COMPLETE")
    assert pool.job_ends(job) == "succeeded"
    assert len(pool.online()) == 2
    pool.delete()
    assert pool.leftovers() == []


def test_delete_after_a_half_finished_update(half_deleted: HalfDeleted) -> None:
    pool = half_deleted.pool
    response = half_deleted.delete.response(300)
    assert response["Status"] == "SUCCESS", response
    assert pool.world.job(half_deleted.job)["state"] == "succeeded"
    assert pool.leftovers() == []


def test_update_capacity_provider_failure_is_retried(deployed_world: DeployedWorld) -> None:
    """https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_CapacityProvider.html"""
    pool = deployed_world.start("provideronce").up()
    fault = {"provider": pool.id, "times": 1, "reason": "The scaling plan could not be updated."}
    pool.world.post("/faults", provider_updates=[fault])
    pool.update(TargetCapacity=90)
    assert pool.provider["updateStatus"] == "UPDATE_COMPLETE"
    # An update is sent twice in one request, for the first read after it may still show an older failure.
    pool.world.post("/faults", provider_updates=[{**fault, "times": 2}])
    pool.begin_update(TargetCapacity=85).settled().expect("UPDATE_ROLLBACK_COMPLETE")
    assert "The scaling plan could not be updated." in pool.stack.reasons(LOGICAL_ID)[0]
    pool.update(TargetCapacity=80)
    provider = pool.provider
    assert provider["updateStatus"] == "UPDATE_COMPLETE"
    assert provider["autoScalingGroupProvider"]["managedScaling"]["targetCapacity"] == 80
    pool.delete()
    assert pool.leftovers() == []


def test_update_at_max_instances_waits_for_running_jobs(deployed_world: DeployedWorld) -> None:
    """The new tasks find no place for longer than ECS lets them wait, and the circuit breaker counts that.

    https://github.com/aws/containers-roadmap/issues/1273
    """
    # Ephemeral, so that a job's end makes room: an impossible update fails at once.
    pool = deployed_world.start("fullhouse", DistinctInstances=True, MaxInstances=1, Ephemeral=True).up()
    job = pool.run(25)
    pool.begin_update(Image=OTHER_IMAGE)

    def is_given_up() -> bool:
        return any(one["rolloutState"] == "FAILED" for one in pool.service["deployments"])

    pool.world.wait_for("the circuit breaker", is_given_up, 60)
    pool.stack.settled().expect("UPDATE_COMPLETE")
    assert pool.world.job(job)["state"] == "succeeded"
    assert pool.task_definition["containerDefinitions"][0]["image"] == OTHER_IMAGE
    assert len(pool.online()) == 1
    pool.delete()
    assert pool.leftovers() == []


def test_missing_log_group_is_named(deployed_world: DeployedWorld) -> None:
    pool = deployed_world.start("nologs", LogGroup="/no/such/group", OnlineTimeout=20)
    assert "The specified log group does not exist" in pool.failure_reason()
    assert pool.leftovers() == []


def test_instance_types_that_auto_scaling_keeps_are_named(deployed_world: DeployedWorld) -> None:
    """An empty list of overrides may take none away, and then the reason says what to write instead.

    https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_UpdateAutoScalingGroup.html
    """
    pool = deployed_world.start("types", InstanceTypes=["m6i.large"], OnDemandPercentageAboveBaseCapacity=50).up()
    pool.begin_update(InstanceTypes=None).settled().expect("UPDATE_ROLLBACK_COMPLETE")
    assert pool.stack.reasons(LOGICAL_ID)[0].find("InstanceTypes: EC2 Auto Scaling accepted their removal") >= 0
    policy = pool.group["MixedInstancesPolicy"]
    assert [override["InstanceType"] for override in policy["LaunchTemplate"]["Overrides"]] == ["m6i.large"]
    assert policy["InstancesDistribution"]["OnDemandPercentageAboveBaseCapacity"] == 50
    pool.delete()
    assert pool.leftovers() == []


def test_access_token_parameter_and_cluster_accept_arns(deployed_world: DeployedWorld) -> None:
    """In the template and, of the cluster, in the launch template's user data.

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RegisterContainerInstance.html
    """
    world = deployed_world.world
    arn = f"arn:aws:ssm:{world.region}:{world.account}:parameter/{TOKEN_PARAMETER.removeprefix('/')}"
    join = ["#!/bin/bash\necho ECS_CLUSTER=", {"Fn::GetAtt": ["Cluster", "Arn"]}, " >> /etc/ecs/ecs.config\n"]
    user_data = {"UserData": {"Fn::Base64": {"Fn::Join": ["", join]}}}
    pool = deployed_world.start("byarn", user_data, AccessTokenParameter=arn).up()
    assert pool.outputs["OnlineRunners"] == "1"
    assert "cluster" not in str(pool.responses()[0]["reason"] or "").lower(), "no warning of another cluster"
    pool.delete()
    assert pool.leftovers() == []


def test_app_login_in_another_spelling_works_or_is_corrected(
    deployed_world: DeployedWorld,
) -> None:
    """The image picks the installation whose `account.login` is letter for letter the same.

    https://github.com/myoung34/docker-github-actions-runner/blob/master/app_token.sh
    """
    world, name = deployed_world.world, "/github-runner-pool/spelling"
    key = world.put_app("4712", {98: "orgs/Acme"})
    deployed_world.planted += [line for line in key.splitlines() if len(line) > 40 and "-----" not in line]
    world.put_parameter(name, key)
    app: Properties = {"AccessTokenParameter": None, "AppId": "4712", "AppPrivateKeyParameter": name}
    pool = deployed_world.start("spelling", OrgName="acme", OnlineTimeout=20, **app)
    pool.stack.settled()
    if pool.stack.status != "CREATE_COMPLETE":
        assert "Acme" in pool.failure_reason()
        return
    assert pool.outputs["OnlineRunners"] == "1"
    pool.delete()
    assert pool.leftovers() == []
