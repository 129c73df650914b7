"""Every pool template of `cfn/` deploys unchanged, its runners work, and its deletion leaves nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.leftovers import leftovers
from sandbox.scenario import TEMPLATES, DeployedWorld
from sandbox.stacks import Stack
from sandbox.template import Template
from sandbox.world import World

POOL_TEMPLATES = [path for path in sorted(TEMPLATES.glob("*.yaml")) if Template.read(path).pools]
APP_ID = "815"
APP_KEY_PARAMETER = "/github-runner-pool/app-key"
# A policy that nothing holds until the pool is gone.
LOOSE_POLICY = """
Resources:
  Runners:
    Type: Custom::GitHubRunnerPool
    Properties:
      ExecutionRoleArn: !GetAtt ExecutionRole.Arn
      LogGroup: !Sub "${LogGroup}"
  ExecutionRole: {Type: AWS::IAM::Role}
  LogGroup: {Type: AWS::Logs::LogGroup}
  Policy:
    Type: AWS::IAM::Policy
    Properties:
      Roles: [!Ref ExecutionRole]
"""


@pytest.fixture(scope="module")
def base(deployed_world: DeployedWorld) -> Iterator[Stack]:
    """The complete pool: some templates need the cluster and the instances of another."""
    key = deployed_world.world.put_app(APP_ID, {1: "orgs/acme"})
    deployed_world.planted += [line for line in key.splitlines() if len(line) > 40 and "-----" not in line]
    deployed_world.world.put_parameter(APP_KEY_PARAMETER, key)
    stack = deployed_world.world.stacks.create(
        "base", TEMPLATES / "pool.yaml", given(deployed_world.world, TEMPLATES / "pool.yaml")
    )
    yield stack.settled().expect("CREATE_COMPLETE")
    stack.delete().settled().expect("DELETE_COMPLETE")


def given(world: World, template: Path, base: dict[str, str] | None = None) -> dict[str, str]:
    """A value for each parameter that has no default, and a short wait. `base` are another stack's outputs."""
    values = {
        **world.network(),
        "OrgName": "acme",
        "EnterpriseName": "umbrella",
        "GitHubUrl": world.github,
        "AppId": APP_ID,
        "IdleConfirmation": "1",
    }
    if base:
        values |= {"Cluster": base["ClusterName"], "CapacityProvider": base["CapacityProviderName"]}
        values |= {name: base[name] for name in ("LaunchTemplateId", "LaunchTemplateVersion")}
    return {name: values[name] for name in Template.read(template).parameters if name in values}


@pytest.mark.parametrize("path", POOL_TEMPLATES, ids=lambda path: path.stem)
def test_template_deploys_unchanged_and_leaves_nothing(deployed_world: DeployedWorld, base: Stack, path: Path) -> None:
    world = deployed_world.world
    before = inventory(world)
    stack = world.stacks.create(path.stem, path, given(world, path, base.outputs)).settled().expect("CREATE_COMPLETE")
    ids = [stack.physical_id(name) for name in Template.read(path).pools]
    assert inventory(world) > before
    jobs = [world.queue_job([pool_id], 0.5) for pool_id in ids]
    world.wait_for("the jobs", lambda: all(world.job(job)["state"] == "succeeded" for job in jobs))
    stack.delete().settled().expect("DELETE_COMPLETE")
    assert [thing for pool_id in ids for thing in leftovers(world, pool_id)] == []
    assert inventory(world) == before


def inventory(world: World) -> set[str]:
    """What templates create, by name; `leftovers` finds the pools' own resources."""
    iam, ec2 = world.client("iam"), world.client("ec2")
    made = [f"cluster {arn}" for arn in world.client("ecs").list_clusters()["clusterArns"]]
    made += [
        f"role {role['RoleName']}" for page in iam.get_paginator("list_roles").paginate() for role in page["Roles"]
    ]
    made += [f"profile {one['InstanceProfileName']}" for one in iam.list_instance_profiles()["InstanceProfiles"]]
    made += [f"log group {one['logGroupName']}" for one in world.client("logs").describe_log_groups()["logGroups"]]
    made += [f"template {one['LaunchTemplateId']}" for one in ec2.describe_launch_templates()["LaunchTemplates"]]
    made += [f"security group {one['GroupId']}" for one in ec2.describe_security_groups()["SecurityGroups"]]
    return set(made)


@pytest.mark.parametrize("path", POOL_TEMPLATES, ids=lambda path: path.stem)
def test_template_deletes_the_pool_before_what_it_depends_on(path: Path) -> None:
    template = Template.read(path)
    others = template.resources.keys() - set(template.pools)
    assert set.union(*(template.outlives(pool) for pool in template.pools)) == others
    for pool in template.pools:
        # Those of other pools may go first, but not what belongs to a resource of this one, such as a role's policy.
        unattached = others - template.outlives(pool)
        assert [name for name in unattached if template.outlives(name) & template.outlives(pool)] == [], pool


def test_missing_depends_on_of_a_policy_is_detected() -> None:
    loose = Template.read(LOOSE_POLICY)
    assert loose.outlives("Runners") == {"ExecutionRole", "LogGroup"}
    assert loose.outlives("Policy") & loose.outlives("Runners") == {"ExecutionRole"}
    loose.resources["Runners"]["DependsOn"] = "Policy"
    assert loose.outlives("Runners") == {"ExecutionRole", "LogGroup", "Policy"}
