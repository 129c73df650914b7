"""The local GitHub's requests and responses match GitHub's OpenAPI description."""

from __future__ import annotations

import copy
import time

import jwt
import pytest

from sandbox.ecs_pool import EcsPool
from sandbox.github_openapi import Description
from sandbox.world import DEFAULT_TARGETS, World


@pytest.fixture(scope="module")
def description() -> Description:
    return Description()


def test_github_exchanges_match_the_openapi_description(world: World, pool: EcsPool, description: Description) -> None:
    pool.make_capacity().make_service(2)
    pool.wait_online(2)
    for target in DEFAULT_TARGETS:
        made = world.post("/github/runners", target=target, name="foreign", labels=["a", "b"])
        base = f"/{target}/actions"
        world.github_call("GET", f"{base}/runners", per_page=1)
        world.github_call("GET", f"{base}/runners/{made['id']}")
        world.github_call("DELETE", f"{base}/runners/{made['id']}")
        world.github_call("GET", f"{base}/runners/{made['id']}")
        world.github_call("POST", f"{base}/runners/registration-token")
        world.github_call("POST", f"{base}/runners/remove-token")
        for _ in ("made", "its name is taken"):
            asked = {"name": "just-in-time", "runner_group_id": 1, "labels": ["a"], "work_folder": "_work"}
            world.github_call("POST", f"{base}/runners/generate-jitconfig", body=asked)
        if not target.startswith("repos/"):
            world.github_call("GET", f"{base}/runner-groups", per_page=100)
            world.github_call("GET", f"{base}/runner-groups/1")
            world.github_call("GET", f"{base}/runner-groups/1/runners")
    busy = world.post("/github/runners", target="orgs/acme", name="busy", busy=True)
    world.github_call("DELETE", f"/orgs/acme/actions/runners/{busy['id']}")
    world.github_call("GET", "/orgs/acme/actions/runners", token="wrong")
    world.github_call("GET", "/rate_limit")
    private = world.put_app("8", {1: "orgs/acme", 2: "repos/acme/app", 3: "enterprises/umbrella"})
    now = int(time.time())
    signed = jwt.encode({"iat": now - 60, "exp": now + 540, "iss": "8"}, private, algorithm="RS256")
    for path in ("/app", *(f"/{target}/installation" for target in DEFAULT_TARGETS)):
        world.github_call("GET", path, token=signed)
    world.github_call("POST", "/app/installations/1/access_tokens", token=signed)
    exchanges = world.exchanges()
    assert {exchange["status"] for exchange in exchanges} >= {200, 201, 204, 401, 404, 409, 422}
    assert [problem for exchange in exchanges for problem in description.problems(exchange)] == []


def test_openapi_mismatch_is_detected(world: World, description: Description) -> None:
    path = "/orgs/acme/actions/runners"
    world.github_call("GET", path)
    # Runners of the tests before may call at the same time.
    good = [it for it in world.exchanges() if (it["method"], it["path"]) == ("GET", path)][-1]
    assert description.problems(good) == []
    bad = copy.deepcopy(good)
    bad["response_body"] = {"total_count": "many", "runners": [{"id": 1}]}
    assert description.problems(bad)
    bad = copy.deepcopy(good)
    bad["query"] = {"per_page": "lots"}
    assert description.problems(bad)
    bad = copy.deepcopy(good)
    bad["path"] = "/orgs/acme/runners"
    assert description.problems(bad)
