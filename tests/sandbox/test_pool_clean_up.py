"""A Delete takes down the pool that its physical id names, in whatever order CloudFormation's requests come.

Another pool of the same resource goes with it only when CloudFormation says that the whole stack is being deleted, or
that its creation is being undone:
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-requests.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_ContinueUpdateRollback.html
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from sandbox.scenario import BROKEN_IMAGE, Properties, ResponseRecorder, SentRequest, Stage
from sandbox.scripted_resource import PATIENCE, Alive, ScriptedResource

# The ids of resources that other code served before.
FOREIGN_IDS = ["2021/01/01/[$LATEST]0123abcd", "i-0a1b2c3d4e5f60718", "foreign-Runners-1XK4Q2ZJ8PLMN"]
FOREIGN_PROPERTIES = {"Region": "us-east-1"}
# CloudFormation's own invention, for a Create that had no response.
MADE_UP = "unanswered-Runners-1XK4Q2ZJ8PLMN"
DELETION = "DELETE_IN_PROGRESS"
# For so long Lambda may deliver an event again.
REDELIVERY = 300.0


@dataclass
class Unanswered:
    """A Create that the Delete of a made-up id has interrupted."""

    resource: ScriptedResource
    properties: Properties
    pool_id: str
    create: SentRequest
    delete: SentRequest


@pytest.fixture(scope="module", autouse=True)
def unanswered(stage: Stage) -> Unanswered:
    """Such a Delete may wait for as long as Lambda delivers the Create again. Meanwhile the other tests go on."""
    resource = ScriptedResource(stage, "unanswered")
    properties = resource.properties()
    create = resource.send("Create", properties)
    pool_id = resource.group_of()
    resource.stack_is("UPDATE_ROLLBACK_IN_PROGRESS")
    delete = resource.send("Delete", properties, PhysicalResourceId=MADE_UP)
    return Unanswered(resource, properties, pool_id, create, delete)


@dataclass
class FailedReplacement:
    """Pool `a` with two runners, and `b` whose runners never came online."""

    resource: ScriptedResource
    a: str
    b: str
    before: Properties
    after: Properties
    untouched: Alive

    @classmethod
    def of(cls, stage: Stage) -> FailedReplacement:
        resource = ScriptedResource(stage, "replaced")
        before = resource.properties(DesiredCount=2)
        after = {**before, "OrgName": "globex", "Image": BROKEN_IMAGE}
        resource.stack_is("CREATE_IN_PROGRESS")
        a = resource.create(before)
        untouched = resource.alive(a)
        assert len(untouched.runners) == len(untouched.tasks) == 2
        resource.stack_is("UPDATE_IN_PROGRESS")
        answer = resource.update(a, after, before)
        b = answer["PhysicalResourceId"]
        assert answer["Status"] == "FAILED", answer
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
        answer = self.resource.update(physical_id, self.before, self.after)
        assert (answer["Status"], answer["PhysicalResourceId"]) == ("SUCCESS", self.a), answer
        assert answer["Data"]["OnlineRunners"] == "2"

    def back_fails(self) -> None:
        """The Update back comes upon a refusal that does not pass."""
        refusal = {"service": "autoscaling", "operation": "DescribeAutoScalingGroups", "code": "AccessDenied"}
        world = self.resource.stage.world
        world.post("/faults", aws=[{**refusal, "message": "not now", "status": 403, "times": 1}])
        answer = self.resource.update(self.b, self.before, self.after)
        world.post("/faults", aws=[])
        assert answer["Status"] == "FAILED", answer

    def skipped(self) -> None:
        """ContinueUpdateRollback with the resource among ResourcesToSkip: nothing is sent."""
        self.resource.stack_is("UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS")

    def next_update(self) -> None:
        """The stack's next Update, which takes up the old id again."""
        answer = self.resource.update(self.a, self.before, self.before)
        assert (answer["Status"], answer["PhysicalResourceId"]) == ("SUCCESS", self.a), answer


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
def test_the_clean_up_of_a_failed_replacement_leaves_the_pool_alone_that_it_was_to_replace(
    stage: Stage, order: str
) -> None:
    replacement = FailedReplacement.of(stage)
    resource = replacement.resource
    for step in order.split(", "):
        getattr(replacement, step)()
        assert resource.alive(replacement.a) == replacement.untouched, step
    resource.stack_is(DELETION)
    resource.delete(replacement.a, replacement.before)
    assert resource.left(replacement.a, replacement.b) == []
    resource.hand.tear_down()


@pytest.mark.parametrize(("status", "named"), [(DELETION, "a"), (DELETION, "b"), ("ROLLBACK_IN_PROGRESS", "b")])
def test_a_delete_while_the_stack_goes_takes_down_every_pool_of_the_resource(
    stage: Stage, status: str, named: str
) -> None:
    replacement = FailedReplacement.of(stage)
    resource = replacement.resource
    resource.stack_is(status)
    properties = {"a": replacement.before, "b": replacement.after}[named]
    resource.delete({"a": replacement.a, "b": replacement.b}[named], properties)
    assert resource.left(replacement.a, replacement.b) == []
    resource.hand.tear_down()


def test_a_clean_up_says_nothing_of_the_pool_that_the_stack_has(stage: Stage) -> None:
    replacement = FailedReplacement.of(stage)
    resource = replacement.resource
    answer = resource.delete(replacement.b, replacement.after)
    assert replacement.a not in answer.get("Reason", "")
    resource.delete(replacement.a, replacement.before)
    assert resource.left(replacement.a, replacement.b) == []
    resource.hand.tear_down()


def test_a_pool_that_a_delete_does_not_name_stays_and_is_named_in_the_reason(stage: Stage) -> None:
    replacement = FailedReplacement.of(stage)
    resource = replacement.resource
    # The resource is taken out of the template after the clean-up was given up.
    resource.stack_is("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
    answer = resource.delete(replacement.a, replacement.before)
    assert resource.left(replacement.a) == []
    assert f"the pool {replacement.b} of this resource stays" in answer["Reason"]
    assert resource.left(replacement.b) != []
    replacement.delete_b()
    resource.hand.tear_down()


@pytest.mark.parametrize("foreign", FOREIGN_IDS)
def test_the_clean_up_of_a_resource_that_other_code_served_leaves_its_successor_alone(
    stage: Stage, foreign: str
) -> None:
    resource = ScriptedResource(stage, "taken-over")
    first = resource.properties()
    resource.stack_is("UPDATE_IN_PROGRESS")
    answer = resource.update(foreign, first, FOREIGN_PROPERTIES)
    a = answer["PhysicalResourceId"]
    assert answer["Status"] == "SUCCESS", answer
    assert a.startswith("ghr-")
    untouched = resource.alive(a)
    for status in ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "UPDATE_COMPLETE", None):
        resource.stack_is(status)
        answer = resource.delete(foreign, FOREIGN_PROPERTIES)
        assert "nothing was deleted" in answer["Reason"]
        assert resource.alive(a) == untouched

    # It is replaced in its turn, and the Delete of the foreign id is delivered late.
    second = {**first, "OrgName": "globex"}
    resource.stack_is("UPDATE_IN_PROGRESS")
    answer = resource.update(a, second, first)
    b = answer["PhysicalResourceId"]
    assert (answer["Status"], answer["Data"]["OnlineRunners"]) == ("SUCCESS", "1"), answer
    resource.stack_is("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
    resource.delete(foreign, FOREIGN_PROPERTIES)
    assert resource.alive(a) == untouched
    runners = resource.online(b, "orgs/globex")
    resource.delete(a, first)
    resource.delete(foreign, FOREIGN_PROPERTIES)
    assert resource.left(a) == []
    assert resource.online(b, "orgs/globex") == runners
    resource.stack_is(DELETION)
    resource.delete(b, second)
    assert resource.left(a, b) == []
    resource.hand.tear_down()


def test_a_resource_of_other_code_that_cannot_be_taken_over_goes_back_and_leaves_nothing(stage: Stage) -> None:
    resource = ScriptedResource(stage, "given-back")
    broken = resource.properties(Image=BROKEN_IMAGE)
    answer = resource.update(FOREIGN_IDS[0], broken, FOREIGN_PROPERTIES)
    b = answer["PhysicalResourceId"]
    assert answer["Status"] == "FAILED", answer
    resource.stack_is("UPDATE_ROLLBACK_IN_PROGRESS")
    assert resource.update(b, FOREIGN_PROPERTIES, broken)["Status"] == "FAILED"
    resource.delete(b, broken)
    resource.delete(FOREIGN_IDS[0], FOREIGN_PROPERTIES)
    assert resource.left(b) == []
    resource.hand.tear_down()


def test_a_made_up_id_is_no_pools_once_the_resource_has_had_a_success(stage: Stage) -> None:
    resource = ScriptedResource(stage, "answered")
    properties = resource.properties()
    first = resource.send("Create", properties, signed_ago=60)
    resource.group_of()
    resource.stack_is("CREATE_IN_PROGRESS")
    a = resource.create(properties)
    first.is_taken_over()
    untouched = resource.alive(a)
    for status in ("CREATE_IN_PROGRESS", "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS", None):
        resource.stack_is(status)
        answer = resource.delete(MADE_UP, properties)
        assert "nothing was deleted" in answer["Reason"]
        assert resource.alive(a) == untouched
    answer = resource.update(a, {**properties, "DrainTimeout": "119"}, properties)
    assert answer["Status"] == "SUCCESS", answer
    resource.delete(MADE_UP, properties)
    assert resource.alive(a) == untouched
    resource.stack_is(DELETION)
    resource.delete(a, properties)
    assert resource.left(a) == []
    resource.hand.tear_down()


@pytest.mark.parametrize("status", ["ROLLBACK_IN_PROGRESS", "UPDATE_ROLLBACK_IN_PROGRESS"])
def test_a_create_whose_response_never_arrived_is_deleted_by_a_made_up_id(stage: Stage, status: str) -> None:
    resource = ScriptedResource(stage, "unheard")
    properties = resource.properties()
    first = resource.send("Create", properties, folder=ResponseRecorder.REFUSED)
    a = resource.group_of()
    # Lambda delivers the event three times, since no response was taken.
    stage.world.wait_for("responses that are not taken", lambda: stage.sink.refusals(first.path) >= 3, PATIENCE)
    assert resource.online(a)
    resource.stack_is(status)
    resource.delete(MADE_UP, properties)
    assert resource.left(a) == []
    resource.hand.tear_down()


def test_a_failed_create_is_deleted_by_the_id_that_it_answered(stage: Stage) -> None:
    resource = ScriptedResource(stage, "failed")
    properties = resource.properties(Image=BROKEN_IMAGE)
    answer = resource.send("Create", properties).answer(PATIENCE)
    assert answer["Status"] == "FAILED", answer
    resource.stack_is("ROLLBACK_IN_PROGRESS")
    resource.delete(answer["PhysicalResourceId"], properties)
    assert resource.left(answer["PhysicalResourceId"]) == []
    resource.hand.tear_down()


def test_a_create_that_had_no_response_is_deleted_by_a_made_up_id_and_its_successor_is_not(
    unanswered: Unanswered,
) -> None:
    resource, properties = unanswered.resource, unanswered.properties
    unanswered.create.is_taken_over()
    answer = unanswered.delete.answer(REDELIVERY)
    assert (answer["Status"], answer["PhysicalResourceId"]) == ("SUCCESS", MADE_UP), answer
    assert resource.left(unanswered.pool_id) == []
    assert resource.create(properties) == unanswered.pool_id
    untouched = resource.alive(unanswered.pool_id)
    resource.delete(MADE_UP, properties)
    assert resource.alive(unanswered.pool_id) == untouched
    resource.delete(unanswered.pool_id, properties)
    assert resource.left(unanswered.pool_id) == []
    resource.hand.tear_down()
