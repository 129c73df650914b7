"""ECS's service-linked role: what an account without it comes upon."""

from __future__ import annotations

from sandbox.ecs_pool import client_error
from sandbox.world import World

CLUSTER = "Resources: {Cluster: {Type: AWS::ECS::Cluster}}"
ROLE = "AWSServiceRoleForECS"


def test_first_create_cluster_fails_and_creates_the_service_linked_role(world: World) -> None:
    iam = world.client("iam")
    iam.delete_service_linked_role(RoleName=ROLE)
    first = world.create_stack("first", CLUSTER).expect("ROLLBACK_COMPLETE")
    assert "Unable to assume the service linked role." in first.reasons("Cluster")[0]
    assert iam.get_role(RoleName=ROLE)["Role"]["Path"] == "/aws-service-role/ecs.amazonaws.com/"
    second = world.create_stack("second", CLUSTER).expect("CREATE_COMPLETE")
    for stack in (first, second):
        stack.delete().settled().expect("DELETE_COMPLETE")


def test_create_service_linked_role_fails_if_it_exists(world: World) -> None:
    with client_error("InvalidInput", f"Service role name {ROLE} has been taken in this account"):
        world.client("iam").create_service_linked_role(AWSServiceName="ecs.amazonaws.com")
