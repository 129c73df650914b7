"""The local GitHub's errors, pages and rate limits are as GitHub documents them."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import jwt
import pytest

from sandbox.world import ACCESS_TOKEN, World

RUNNERS = "/orgs/acme/actions/runners"
JIT_CONFIG = f"{RUNNERS}/generate-jitconfig"


def test_list_runners_paginates_with_link_headers(world: World) -> None:
    world.put_token("ghp_pages", {"orgs/pages": "write"})
    for number in range(7):
        world.post("/github/runners", target="orgs/pages", name=f"foreign-{number}", labels=["x"])
    path = "/orgs/pages/actions/runners"
    status, first = world.github_call("GET", path, token="ghp_pages", per_page=3)
    assert (status, first["total_count"], len(first["runners"])) == (200, 7, 3)
    link = world.exchanges()[-1]["response_headers"]["link"]
    assert 'page=2>; rel="next"' in link
    assert 'page=3>; rel="last"' in link
    _, last = world.github_call("GET", path, token="ghp_pages", per_page=3, page=3)
    assert [runner["name"] for runner in last["runners"]] == ["foreign-6"]
    assert "next" not in world.exchanges()[-1]["response_headers"]["link"]
    _, named = world.github_call("GET", path, token="ghp_pages", name="foreign-2")
    assert named["total_count"] == 1


@pytest.mark.parametrize(
    ("grants", "method", "status", "message"),
    [
        (None, "GET", 401, "Bad credentials"),
        ({}, "GET", 404, "Not Found"),
        ({"orgs/acme": "none"}, "GET", 403, "Resource not accessible by personal access token"),
        ({"orgs/acme": "read"}, "GET", 200, None),
        ({"orgs/acme": "read"}, "POST", 403, "Resource not accessible by personal access token"),
    ],
)
def test_token_permissions_decide_200_403_and_404(
    world: World, grants: dict[str, str] | None, method: str, status: int, message: str | None
) -> None:
    token = f"ghp_{method}_{status}"
    if grants is not None:
        world.put_token(token, grants)
    path = RUNNERS if method == "GET" else f"{RUNNERS}/registration-token"
    found, body = world.github_call(method, path, token=token)
    assert found == status
    assert message is None or body["message"] == message


def jit_runner(name: str, **changes: Any) -> dict[str, Any]:
    """A request for a just-in-time configuration."""
    return {"name": name, "runner_group_id": 1, "labels": ["self-hosted", "builds"], **changes}


def test_generate_jitconfig_registers_an_ephemeral_runner_that_is_offline(world: World) -> None:
    status, made = world.github_call("POST", JIT_CONFIG, body=jit_runner("just-in-time", work_folder="/_work/it"))
    assert status == 201
    runner = made["runner"]
    assert (runner["status"], runner["busy"], runner["ephemeral"], runner["os"]) == ("offline", False, True, "unknown")
    # Those that were asked for: no default label is added.
    assert [label["name"] for label in runner["labels"]] == ["self-hosted", "builds"]
    files = json.loads(base64.b64decode(made["encoded_jit_config"]))
    assert set(files) == {".runner", ".credentials", ".credentials_rsaparams"}
    settings = json.loads(base64.b64decode(files[".runner"]).decode("utf-8-sig"))
    assert (settings["agentId"], settings["workFolder"]) == (runner["id"], "/_work/it")
    assert {made["encoded_jit_config"], files[".credentials_rsaparams"]} <= set(world.secrets())
    assert world.github_call("DELETE", f"{RUNNERS}/{runner['id']}")[0] == 204


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"name": ""}, 422),
        ({"name": "n" * 65}, 422),
        ({"labels": []}, 422),
        ({"labels": [str(number) for number in range(101)]}, 422),
        ({"labels": "builds"}, 422),
        ({"runner_group_id": 99}, 422),
        ({"runner_group_id": None}, 422),
        ({"name": "taken"}, 409),
    ],
    ids=str,
)
def test_generate_jitconfig_rejects(world: World, changes: dict[str, Any], status: int) -> None:
    world.post("/github/runners", target="orgs/acme", name="taken", labels=[])
    n_runners = len(world.runners())
    assert world.github_call("POST", JIT_CONFIG, body={**jit_runner("not-made"), **changes})[0] == status
    assert len(world.runners()) == n_runners


def test_generate_jitconfig_needs_the_right_to_write(world: World) -> None:
    world.put_token("ghp_only_read", {"orgs/acme": "read"})
    assert world.github_call("POST", JIT_CONFIG, token="ghp_only_read", body=jit_runner("not-made"))[0] == 403
    assert world.github_call("POST", JIT_CONFIG, token="wrong", body=jit_runner("not-made"))[0] == 401


def test_generate_jitconfig_is_404_on_an_old_enterprise_server(world: World) -> None:
    with world.faults(just_in_time="absent"):
        assert world.github_call("POST", JIT_CONFIG, body=jit_runner("not-made"))[0] == 404
        assert world.github_call("GET", RUNNERS)[0] == 200


def test_delete_runner_returns_422_for_a_busy_runner(world: World) -> None:
    made = world.post("/github/runners", target="orgs/acme", name="at-work", labels=[], busy=True)
    status, body = world.github_call("DELETE", f"{RUNNERS}/{made['id']}")
    assert (status, body["message"]) == (422, 'Runner "at-work" is currently running a job and cannot be deleted.')
    assert world.github_call("DELETE", f"{RUNNERS}/999999")[0] == 404


def test_secondary_rate_limit_of_900_points_per_minute(world: World) -> None:
    world.put_token("ghp_hasty", {"orgs/acme": "write"})
    statuses = [world.github_call("DELETE", f"{RUNNERS}/999999", token="ghp_hasty")[0] for _ in range(181)]
    assert statuses == [404] * 180 + [403]
    error = world.exchanges()[-1]
    assert int(error["response_headers"]["retry-after"]) > 0
    assert "secondary rate limit" in error["response_body"]["message"]
    assert world.events("github")[-1]["what"] == "throttled"


def test_user_agent_and_api_version_headers_are_checked(world: World) -> None:
    assert world.github_call("GET", RUNNERS, headers={"user-agent": ""})[0] == 403
    assert world.github_call("GET", RUNNERS, headers={"x-github-api-version": "1999-01-01"})[0] == 410


def test_app_jwt_gets_an_installation_token(world: World) -> None:
    private = world.put_app("5", {9: "orgs/acme"})
    now = int(time.time())

    def sign(**claims: object) -> str:
        return jwt.encode({"iat": now - 60, "exp": now + 540, "iss": "5", **claims}, private, algorithm="RS256")

    status, found = world.github_call("GET", "/orgs/acme/installation", token=sign())
    assert (status, found["id"]) == (200, 9)
    assert world.github_call("GET", "/orgs/globex/installation", token=sign())[0] == 404
    assert world.github_call("GET", "/app", token=sign(exp=now + 3000))[0] == 401
    assert world.github_call("GET", "/app", token=sign(iss="6"))[0] == 404
    assert world.github_call("GET", "/app", token=sign()[:-6] + "aaaaaa")[0] == 401
    status, made = world.github_call("POST", "/app/installations/9/access_tokens", token=sign())
    assert status == 201
    assert world.github_call("GET", RUNNERS, token=made["token"])[0] == 200


@pytest.mark.parametrize("path", ["orgs/ACME", "repos/acme/App", "users/ACME", "enterprises/acme"])
def test_installation_lookup_ignores_case_and_returns_the_accounts_spelling(world: World, path: str) -> None:
    own = {"orgs": "orgs/Acme", "repos": "orgs/Acme", "users": "users/Acme", "enterprises": "enterprises/Acme"}
    private = world.put_app("6", {3: own[path.split("/")[0]]})
    now = int(time.time())
    signed = jwt.encode({"iat": now - 60, "exp": now + 540, "iss": "6"}, private, algorithm="RS256")
    status, found = world.github_call("GET", f"/{path}/installation", token=signed)
    assert (status, found["id"]) == (200, 3)
    assert (found["account"].get("login") or found["account"]["slug"]) == "Acme"


def test_list_installations_paginates_by_thirty(world: World) -> None:
    private = world.put_app("8", {number: f"orgs/customer-{number}" for number in range(40)})
    now = int(time.time())
    signed = jwt.encode({"iat": now - 60, "exp": now + 540, "iss": "8"}, private, algorithm="RS256")
    _, first = world.github_call("GET", "/app/installations", token=signed)
    _, rest = world.github_call("GET", "/app/installations", token=signed, page=2)
    assert [len(first), len(rest)] == [30, 10]
    assert 'rel="prev"' in world.exchanges()[-1]["response_headers"]["link"]


def test_runner_groups_include_those_inherited_from_the_enterprise(world: World) -> None:
    world.put_token("ghp_groups", {"orgs/groups": "read"})
    made = world.post("/github/runner-groups", target="orgs/groups", name="from-above", inherited=True)
    _, listed = world.github_call("GET", "/orgs/groups/actions/runner-groups", token="ghp_groups")
    found = {group["name"]: group["inherited"] for group in listed["runner_groups"]}
    assert found == {"Default": False, "from-above": True}
    _, one = world.github_call("GET", f"/orgs/groups/actions/runner-groups/{made['id']}", token="ghp_groups")
    assert one["inherited"] is True


def test_github_fault_applies_the_given_number_of_times(world: World) -> None:
    fault = {"status": 503, "times": 2, "path": "/runners", "method": "GET"}
    with world.faults(github=fault):
        assert [world.github_call("GET", RUNNERS)[0] for _ in range(3)] == [503, 503, 200]


def test_exchanges_contain_no_credential(world: World) -> None:
    world.github_call("GET", RUNNERS)
    assert ACCESS_TOKEN not in str(world.exchanges())
    assert world.exchanges()[-1]["headers"]["authorization"] == "Bearer <redacted>"
