"""The local GitHub's errors, pages and rate limits are as GitHub documents them."""

from __future__ import annotations

import time

import jwt
import pytest

from sandbox.world import ACCESS_TOKEN, World

RUNNERS = "/orgs/acme/actions/runners"


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
