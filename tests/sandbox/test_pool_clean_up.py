"""A Delete takes down the pool that its physical id names, in whatever order CloudFormation's requests come.

Another pool of the same resource goes with it only when CloudFormation says that the whole stack is being deleted, or
that its creation is being undone:
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-requests.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_ContinueUpdateRollback.html
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from sandbox.response_recorder import ResponseRecorder
from sandbox.scenario import BROKEN_IMAGE, DeployedWorld, Properties, SentRequest
from sandbox.scripted_resource import RESPONSE_TIMEOUT_SECS, PoolSnapshot, ScriptedResource

# The ids of resources that other code served before.
FOREIGN_IDS = ["2021/01/01/[$LATEST]0123abcd", "i-0a1b2c3d4e5f60718", "foreign-Runners-1XK4Q2ZJ8PLMN"]
FOREIGN_PROPERTIES = {"Region": "us-east-1"}
# CloudFormation's own invention, for a Create that had no response.
MADE_UP = "unanswered-Runners-1XK4Q2ZJ8PLMN"
DELETION = "DELETE_IN_PROGRESS"
# For so long Lambda may deliver an event again.
REDELIVERY = 300.0


@dataclass
class LostResponse:
    """A Create that the Delete of a made-up id has interrupted."""

    resource: ScriptedResource
    properties: Properties
    pool_id: str
    create: SentRequest
    delete: SentRequest


@pytest.fixture(scope="module", autouse=True)
def lost_response(deployed_world: DeployedWorld) -> LostResponse:
    """Such a Delete may wait for as long as Lambda delivers the Create again. Meanwhile the other tests go on."""
    resource = ScriptedResource(deployed_world, "unanswered")
    properties = resource.properties()
    create = resource.send("Create", properties)
    pool_id = resource.group_of()
    resource.stack_is("UPDATE_ROLLBACK_IN_PROGRESS")
    delete = resource.send("Delete", properties, PhysicalResourceId=MADE_UP)
    return LostResponse(resource, properties, pool_id, create, delete)


@dataclass
class FailedReplacement:
    """Pool `a` with two runners, and `b` whose runners never came online."""

    resource: ScriptedResource
    a: str
    b: str
    before: Properties
    after: Properties
    untouched: PoolSnapshot

    @classmethod
    def of(cls, deployed_world: DeployedWorld) -> FailedReplacement:
        resource = ScriptedResource(deployed_world, "replaced")
        before = resource.properties(DesiredCount=2)
        after = {**before, "OrgName": "globex", "Image": BROKEN_IMAGE}
        resource.stack_is("CREATE_IN_PROGRESS")
        a = resource.create(before)
        untouched = resource.snapshot(a)
        assert len(untouched.runners) == len(untouched.tasks) == 2
        resource.stack_is("UPDATE_IN_PROGRESS")
        response = resource.update(a, after, before)
        b = response["PhysicalResourceId"]
        assert response["Status"] == "FAILED", response
        assert b != a
        resource.stack_is("UPDATE_ROLLBACK_IN_PROGRESS")
        return cls(resource, a, b, before, after, untouched)

    def delete_b(self) -> None:
        self.resource.delete(self.b, self.after)
        assert self.resource.left(self.b) == []

    def back_by_a(self) -> None:
        """The Update back of an engine that goes on with the old id."""
        self.back(self.a)

    def back_by_b(self) -> None:
        """The Update back of CloudFormation, which has learned the new id from the response."""
        self.back(self.b)

    def back(self, physical_id: str) -> None:
        response = self.resource.update(physical_id, self.before, self.after)
        assert (response["Status"], response["PhysicalResourceId"]) == ("SUCCESS", self.a), response
        assert response["Data"]["OnlineRunners"] == "2"

    def back_fails(self) -> None:
        """The rollback's Update gets an error that is not retryable.

        The error is only for requests about this pool: the Delete of `unanswered` describes its own group meanwhile.
        """
        error = {"service": "autoscaling", "operation": "DescribeAutoScalingGroups", "code": "AccessDenied"}
        world = self.resource.deployed_world.world
        world.post("/faults", aws=[{**error, "about": self.a, "message": "not now", "status": 403, "times": 1}])
        response = self.resource.update(self.b, self.before, self.after)
        world.post("/faults", aws=[])
        assert response["Status"] == "FAILED", response

    def skipped(self) -> None:
        """ContinueUpdateRollback with the resource among ResourcesToSkip: nothing is sent."""
        self.resource.stack_is("UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS")

    def next_update(self) -> None:
        """The stack's next Update, which takes up the old id again."""
        response = self.resource.update(self.a, self.before, self.before)
        assert (response["Status"], response["PhysicalResourceId"]) == ("SUCCESS", self.a), response


ORDERS = [
    "back_by_b, delete_b",
    "back_by_a, delete_b",
    "delete_b, back_by_b",
    "delete_b, back_by_a",
    "delete_b, delete_b, back_by_b",
    "skipped, delete_b, next_update",
    "back_fails, delete_b, next_update",
    "delete_b, back_fails, next_update",
    "back_fails, back_by_b, delete_b",
]


@pytest.mark.parametrize("order", ORDERS)
def test_clean_up_delete_of_a_failed_replacement_keeps_the_current_pool(
    deployed_world: DeployedWorld, order: str
) -> None:
    replacement = FailedReplacement.of(deployed_world)
    resource = replacement.resource
    for step in order.split(", "):
        getattr(replacement, step)()
        assert resource.snapshot(replacement.a) == replacement.untouched, step
    resource.stack_is(DELETION)
    resource.delete(replacement.a, replacement.before)
    assert resource.left(replacement.a, replacement.b) == []
    resource.ecs_pool.tear_down()


@pytest.mark.parametrize(("status", "named"), [(DELETION, "a"), (DELETION, "b"), ("ROLLBACK_IN_PROGRESS", "b")])
def test_delete_during_stack_deletion_removes_every_pool_of_the_resource(
    deployed_world: DeployedWorld, status: str, named: str
) -> None:
    replacement = FailedReplacement.of(deployed_world)
    resource = replacement.resource
    resource.stack_is(status)
    properties = {"a": replacement.before, "b": replacement.after}[named]
    resource.delete({"a": replacement.a, "b": replacement.b}[named], properties)
    assert resource.left(replacement.a, replacement.b) == []
    resource.ecs_pool.tear_down()


def test_clean_up_delete_does_not_mention_the_current_pool(deployed_world: DeployedWorld) -> None:
    replacement = FailedReplacement.of(deployed_world)
    resource = replacement.resource
    response = resource.delete(replacement.b, replacement.after)
    assert replacement.a not in response.get("Reason", "")
    resource.delete(replacement.a, replacement.before)
    assert resource.left(replacement.a, replacement.b) == []
    resource.ecs_pool.tear_down()


def test_delete_names_an_orphaned_pool_and_keeps_it(deployed_world: DeployedWorld) -> None:
    replacement = FailedReplacement.of(deployed_world)
    resource = replacement.resource
    # The resource is removed from the template after CloudFormation gave up the clean-up.
    resource.stack_is("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
    response = resource.delete(replacement.a, replacement.before)
    assert resource.left(replacement.a) == []
    assert f"the pool {replacement.b} of this resource stays" in response["Reason"]
    assert resource.left(replacement.b) != []
    replacement.delete_b()
    resource.ecs_pool.tear_down()


@pytest.mark.parametrize("foreign", FOREIGN_IDS)
def test_clean_up_delete_of_a_foreign_physical_id_keeps_the_pool(deployed_world: DeployedWorld, foreign: str) -> None:
    resource = ScriptedResource(deployed_world, "taken-over")
    first = resource.properties()
    resource.stack_is("UPDATE_IN_PROGRESS")
    response = resource.update(foreign, first, FOREIGN_PROPERTIES)
    a = response["PhysicalResourceId"]
    assert response["Status"] == "SUCCESS", response
    assert a.startswith("ghr-")
    untouched = resource.snapshot(a)
    for status in ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "UPDATE_COMPLETE", None):
        resource.stack_is(status)
        response = resource.delete(foreign, FOREIGN_PROPERTIES)
        assert "nothing was deleted" in response["Reason"]
        assert resource.snapshot(a) == untouched

    # It is replaced as well, and the Delete of the foreign id is delivered late.
    second = {**first, "OrgName": "globex"}
    resource.stack_is("UPDATE_IN_PROGRESS")
    response = resource.update(a, second, first)
    b = response["PhysicalResourceId"]
    assert (response["Status"], response["Data"]["OnlineRunners"]) == ("SUCCESS", "1"), response
    resource.stack_is("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
    resource.delete(foreign, FOREIGN_PROPERTIES)
    assert resource.snapshot(a) == untouched
    runners = resource.online(b, "orgs/globex")
    resource.delete(a, first)
    resource.delete(foreign, FOREIGN_PROPERTIES)
    assert resource.left(a) == []
    assert resource.online(b, "orgs/globex") == runners
    resource.stack_is(DELETION)
    resource.delete(b, second)
    assert resource.left(a, b) == []
    resource.ecs_pool.tear_down()


def test_failed_update_from_a_foreign_physical_id_rolls_back(
    deployed_world: DeployedWorld,
) -> None:
    resource = ScriptedResource(deployed_world, "given-back")
    broken = resource.properties(Image=BROKEN_IMAGE)
    response = resource.update(FOREIGN_IDS[0], broken, FOREIGN_PROPERTIES)
    b = response["PhysicalResourceId"]
    assert response["Status"] == "FAILED", response
    resource.stack_is("UPDATE_ROLLBACK_IN_PROGRESS")
    assert resource.update(b, FOREIGN_PROPERTIES, broken)["Status"] == "FAILED"
    resource.delete(b, broken)
    resource.delete(FOREIGN_IDS[0], FOREIGN_PROPERTIES)
    assert resource.left(b) == []
    resource.ecs_pool.tear_down()


def test_generated_physical_id_matches_no_pool_after_a_success(deployed_world: DeployedWorld) -> None:
    resource = ScriptedResource(deployed_world, "answered")
    properties = resource.properties()
    first = resource.send("Create", properties, signed_ago=60)
    resource.group_of()
    resource.stack_is("CREATE_IN_PROGRESS")
    a = resource.create(properties)
    first.expect_superseded()
    untouched = resource.snapshot(a)
    for status in ("CREATE_IN_PROGRESS", "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS", None):
        resource.stack_is(status)
        response = resource.delete(MADE_UP, properties)
        assert "nothing was deleted" in response["Reason"]
        assert resource.snapshot(a) == untouched
    response = resource.update(a, {**properties, "DrainTimeout": "119"}, properties)
    assert response["Status"] == "SUCCESS", response
    resource.delete(MADE_UP, properties)
    assert resource.snapshot(a) == untouched
    resource.stack_is(DELETION)
    resource.delete(a, properties)
    assert resource.left(a) == []
    resource.ecs_pool.tear_down()


@pytest.mark.parametrize("status", ["ROLLBACK_IN_PROGRESS", "UPDATE_ROLLBACK_IN_PROGRESS"])
def test_create_with_a_lost_response_is_deleted_by_a_generated_physical_id(
    deployed_world: DeployedWorld, status: str
) -> None:
    resource = ScriptedResource(deployed_world, "unheard")
    properties = resource.properties()
    first = resource.send("Create", properties, folder=ResponseRecorder.REJECTED)
    a = resource.group_of()
    # Lambda delivers the event three times, since no response was taken.
    deployed_world.world.wait_for(
        "responses that are not taken",
        lambda: deployed_world.recorder.rejections(first.path) >= 3,
        RESPONSE_TIMEOUT_SECS,
    )
    assert resource.online(a)
    resource.stack_is(status)
    resource.delete(MADE_UP, properties)
    assert resource.left(a) == []
    resource.ecs_pool.tear_down()


def test_failed_create_is_deleted_by_its_physical_id(deployed_world: DeployedWorld) -> None:
    resource = ScriptedResource(deployed_world, "failed")
    properties = resource.properties(Image=BROKEN_IMAGE)
    response = resource.send("Create", properties).response(RESPONSE_TIMEOUT_SECS)
    assert response["Status"] == "FAILED", response
    resource.stack_is("ROLLBACK_IN_PROGRESS")
    resource.delete(response["PhysicalResourceId"], properties)
    assert resource.left(response["PhysicalResourceId"]) == []
    resource.ecs_pool.tear_down()


def test_generated_physical_id_delete_keeps_the_next_create(
    lost_response: LostResponse,
) -> None:
    resource, properties = lost_response.resource, lost_response.properties
    lost_response.create.expect_superseded()
    response = lost_response.delete.response(REDELIVERY)
    assert (response["Status"], response["PhysicalResourceId"]) == ("SUCCESS", MADE_UP), response
    assert resource.left(lost_response.pool_id) == []
    assert resource.create(properties) == lost_response.pool_id
    untouched = resource.snapshot(lost_response.pool_id)
    resource.delete(MADE_UP, properties)
    assert resource.snapshot(lost_response.pool_id) == untouched
    resource.delete(lost_response.pool_id, properties)
    assert resource.left(lost_response.pool_id) == []
    resource.ecs_pool.tear_down()
