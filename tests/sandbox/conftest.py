"""Fixtures. One sandbox serves all tests of a module: each test makes its own cluster, so they do not meet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.ecs_pool import EcsPool
from sandbox.iam_checks import unlisted, unused
from sandbox.response_recorder import ResponseRecorder
from sandbox.scenario import BROKEN_IMAGE, OWN_KEY, TEMPLATES, DeployedWorld
from sandbox.world import World


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A prepared world at a third of the usual time."""
    with World.start(tmp_path_factory.mktemp("sandbox"), time_scale=0.3) as started:
        started.prepare()
        yield started


@pytest.fixture
def pool(world: World) -> Iterator[EcsPool]:
    """A pool's resources without the product; removed after the test."""
    made = EcsPool(world)
    yield made
    made.tear_down()


@pytest.fixture(scope="session")
def deployed_world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeployedWorld]:
    """A world with the real function in it, for all scenarios of a run. Each has stacks of its own: they do not meet.

    The function has the role that people give it, and every call is checked against its policies.
    Several pools poll GitHub with one token, five times a second each, so its rate limits are lifted.
    """
    folder = tmp_path_factory.mktemp("deployed")
    limits: dict[str, Any] = {"points_per_minute": 1_000_000, "hourly_requests": 1_000_000}
    with World.start(folder, time_scale=0.3, authorize="true", **limits) as started:
        started.prepare()
        started.post("/faults", images=[BROKEN_IMAGE])
        recorder = ResponseRecorder()
        token = started.deploy_provider(TEMPLATES / "provider.yaml", parameters={"CredentialKeyArn": OWN_KEY})
        yield DeployedWorld(started, token, recorder)
        recorder.close()
        checks = started.checks()
    assert unlisted(checks) == set(), "iam_checks.json lacks these calls of the function"
    if _has_every_scenario(request):
        assert unused(checks) == set(), "iam_checks.json has calls that the function no longer makes"


def _has_every_scenario(request: pytest.FixtureRequest) -> bool:
    """Whether this run has all files with scenarios, and every test of them."""
    is_filtered = request.config.getoption("keyword") or request.config.getoption("markexpr")
    is_named = any("::" in argument for argument in request.config.args)
    files = {path.stem for path in Path(__file__).parent.glob("test_pool_*.py")}
    return not is_filtered and not is_named and files <= {item.path.stem for item in request.session.items}


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """A failed test shows what happened last in its world."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    given = getattr(item, "funcargs", {})
    used = given["deployed_world"].world if "deployed_world" in given else given.get("world")
    if report.when == "call" and report.failed and isinstance(used, World):
        report.sections.append(("last events of the world", used.recent(60)))
