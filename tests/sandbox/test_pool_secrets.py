"""No secret is in the log at LOG_LEVEL=debug, in responses, stack events or attributes.

It searches what the scenarios of the same run have written, and its own.
"""

from __future__ import annotations

import json

import pytest

from sandbox.scenario import PLANTED_SIGNATURE, DeployedWorld, Properties
from sandbox.world import ACCESS_TOKEN

REVOKED = "ghp_SandboxPlantedUnknownToken0123456789a"


@pytest.fixture(scope="module")
def published(deployed_world: DeployedWorld) -> dict[str, str]:
    """Every published text, by place, after scenarios with secrets."""
    world = deployed_world.world
    key = world.put_app("815", {7: "orgs/acme"})
    deployed_world.planted += [line for line in key.splitlines() if len(line) > 40 and "-----" not in line]
    world.put_parameter("/github-runner-pool/key", key)
    world.put_parameter("/github-runner-pool/unknown", REVOKED)
    world.put_parameter("/github-runner-pool/no-key", key.replace("RSA PRIVATE", "RSA PRIVAT"))
    app: Properties = {"AccessTokenParameter": None, "AppId": "815"}
    pools = [
        deployed_world.start("withtoken"),
        deployed_world.start("withapp", **app, AppPrivateKeyParameter="/github-runner-pool/key"),
        deployed_world.start("withbadkey", **app, AppPrivateKeyParameter="/github-runner-pool/no-key"),
        deployed_world.start("withbadtoken", AccessTokenParameter="/github-runner-pool/unknown"),
        # A token where its parameter's name belongs, which is how people give theirs away.
        deployed_world.start("withtokenitself", AccessTokenParameter=ACCESS_TOKEN),
        deployed_world.start(
            "withsecrets", Environment={"ACCESS_TOKEN": ACCESS_TOKEN}, Secrets={"bad name": ACCESS_TOKEN}
        ),
    ]
    for pool in pools:
        pool.stack.settled()
    for pool in pools[:2]:
        pool.stack.expect("CREATE_COMPLETE")
        pool.delete()
    for pool in pools[2:]:
        pool.stack.expect("ROLLBACK_COMPLETE")
    deployed_world.invoke({"RequestType": "Delete", "StackId": "arn:::stack/a/b", "LogicalResourceId": "A"})
    deployed_world.invoke({"RequestType": "Explode", "StackId": "arn:::stack/a/b", "LogicalResourceId": "A"})
    return {
        "log": "\n".join(deployed_world.log_lines()),
        "responses": json.dumps(world.events("response")) + "\n".join(deployed_world.recorder.bodies()),
        "stack events": json.dumps([stack.events() for stack in deployed_world.stacks], default=str),
    }


def test_log_level_debug_names_request_and_pool(published: dict[str, str]) -> None:
    lines = [json.loads(line) for line in published["log"].splitlines() if line.startswith("{")]
    assert {"DEBUG", "INFO", "ERROR"} <= {line["level"] for line in lines if "level" in line}
    # These are about every pool, or of the listener, and about no request.
    without_request = {"inventory", "sweep", "listen"}
    of_request = [line for line in lines if line.get("step") not in without_request and not line.get("listener")]
    inside = [line for line in of_request if line.get("physical_id")]
    assert inside
    assert [line for line in inside if not {"request_id", "logical_id", "physical_id"} <= set(line)] == []


@pytest.mark.parametrize("place", ["log", "responses", "stack events"])
def test_no_secret_is_published(deployed_world: DeployedWorld, published: dict[str, str], place: str) -> None:
    secrets = {*deployed_world.world.secrets(), *deployed_world.planted, ACCESS_TOKEN, REVOKED, PLANTED_SIGNATURE}
    assert len(secrets) > 20
    text = published[place]
    assert len(text) > 1000
    assert [secret[:12] + "…" for secret in secrets if secret in text] == []


@pytest.mark.parametrize("place", ["log", "responses", "stack events"])
def test_no_response_url_is_published(deployed_world: DeployedWorld, published: dict[str, str], place: str) -> None:
    for mark in ("X-Amz-Signature", "cloudformation-custom-resource-response", deployed_world.recorder.url):
        assert mark not in published[place]
