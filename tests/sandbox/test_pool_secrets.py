"""What must never be seen is never seen: in the log at its most talkative, in answers, in events, in attributes.

The name puts this file behind the others: it looks at all that they left behind, and works alone, too.
"""

from __future__ import annotations

import json

import pytest

from sandbox.scenario import PLANTED_SIGNATURE, Properties, Stage
from sandbox.world import ACCESS_TOKEN

REVOKED = "ghp_SandboxPlantedUnknownToken0123456789a"


@pytest.fixture(scope="module")
def spoken(stage: Stage) -> dict[str, str]:
    """Everything that was said, by place, after scenarios in which secrets are at hand."""
    world = stage.world
    key = world.put_app("815", {7: "orgs/acme"})
    stage.planted += [line for line in key.splitlines() if len(line) > 40 and "-----" not in line]
    world.put_parameter("/github-runner-pool/key", key)
    world.put_parameter("/github-runner-pool/unknown", REVOKED)
    world.put_parameter("/github-runner-pool/no-key", key.replace("RSA PRIVATE", "RSA PRIVAT"))
    app: Properties = {"AccessTokenParameter": None, "AppId": "815"}
    pools = [
        stage.start("withtoken"),
        stage.start("withapp", **app, AppPrivateKeyParameter="/github-runner-pool/key"),
        stage.start("withbadkey", **app, AppPrivateKeyParameter="/github-runner-pool/no-key"),
        stage.start("withbadtoken", AccessTokenParameter="/github-runner-pool/unknown"),
        # A token where its parameter's name belongs, which is how people give theirs away.
        stage.start("withtokenitself", AccessTokenParameter=ACCESS_TOKEN),
        stage.start("withsecrets", Environment={"ACCESS_TOKEN": ACCESS_TOKEN}, Secrets={"bad name": ACCESS_TOKEN}),
    ]
    for pool in pools:
        pool.stack.settled()
    for pool in pools[:2]:
        pool.stack.expect("CREATE_COMPLETE")
        pool.delete()
    for pool in pools[2:]:
        pool.stack.expect("ROLLBACK_COMPLETE")
    stage.invoke({"RequestType": "Delete", "StackId": "arn:::stack/a/b", "LogicalResourceId": "A"})
    stage.invoke({"RequestType": "Explode", "StackId": "arn:::stack/a/b", "LogicalResourceId": "A"})
    return {
        "log": "\n".join(stage.log_lines()),
        "answers": json.dumps(world.events("answer")) + "\n".join(stage.sink.bodies()),
        "stack events": json.dumps([stack.events() for stack in stage.stacks], default=str),
    }


def test_the_log_is_at_its_most_talkative_and_names_request_and_pool(spoken: dict[str, str]) -> None:
    lines = [json.loads(line) for line in spoken["log"].splitlines() if line.startswith("{")]
    assert {"DEBUG", "INFO", "ERROR"} <= {line["level"] for line in lines if "level" in line}
    # A survey is about every pool, and about no request.
    inside = [line for line in lines if line.get("physical_id") and line.get("step") != "survey"]
    assert inside
    assert all({"request_id", "logical_id", "physical_id"} <= set(line) for line in inside)


@pytest.mark.parametrize("place", ["log", "answers", "stack events"])
def test_no_secret_is_seen_anywhere(stage: Stage, spoken: dict[str, str], place: str) -> None:
    secrets = {*stage.world.secrets(), *stage.planted, ACCESS_TOKEN, REVOKED, PLANTED_SIGNATURE}
    assert len(secrets) > 20
    text = spoken[place]
    assert len(text) > 1000
    assert [secret[:12] + "…" for secret in secrets if secret in text] == []


@pytest.mark.parametrize("place", ["log", "answers", "stack events"])
def test_no_response_url_is_seen_anywhere(stage: Stage, spoken: dict[str, str], place: str) -> None:
    for mark in ("X-Amz-Signature", "cloudformation-custom-resource-response", stage.sink.url):
        assert mark not in spoken[place]
