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
from sandbox.world import Entry, World

# What IAM was asked for the function's calls, in the deployed worlds of this run: one in each process of it.
CHECKS = pytest.StashKey[list[Entry]]()
HAS_EVERY_SCENARIO = pytest.StashKey[bool]()
# The same for the process that has started the others.
FROM_WORKER = "deployed_world"


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
    request.config.stash[CHECKS] = checks
    assert unlisted(checks) == set(), "iam_checks.json lacks these calls of the function"


def pytest_configure(config: pytest.Config) -> None:
    config.stash[CHECKS] = []
    config.stash[HAS_EVERY_SCENARIO] = False


def pytest_collection_finish(session: pytest.Session) -> None:
    """Notes whether this run has all files with scenarios, and every test of them."""
    config = session.config
    is_filtered = config.getoption("keyword") or config.getoption("markexpr")
    is_named = any("::" in argument for argument in config.args)
    files = {path.stem for path in Path(__file__).parent.glob("test_pool_*.py")}
    is_every_file = files <= {item.path.stem for item in session.items}
    config.stash[HAS_EVERY_SCENARIO] = not is_filtered and not is_named and is_every_file


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Collects what a worker of pytest-xdist reports: each has run a part of the scenarios, in a world of its own."""
    checks, has_every_scenario = getattr(node, "workeroutput", {}).get(FROM_WORKER, ([], False))
    node.config.stash[CHECKS].extend(checks)
    node.config.stash[HAS_EVERY_SCENARIO] |= has_every_scenario


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A run of all scenarios makes every call that iam_checks.json lists."""
    config = session.config
    checks, has_every_scenario = config.stash[CHECKS], config.stash[HAS_EVERY_SCENARIO]
    workeroutput: dict[str, Any] | None = getattr(config, "workeroutput", None)
    if workeroutput is not None:
        workeroutput[FROM_WORKER] = (checks, has_every_scenario)
    elif has_every_scenario and (rows := unused(checks)):
        print(f"\niam_checks.json has calls that the function no longer makes: {sorted(rows)}")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """A failed test shows what happened last in its world."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    given = getattr(item, "funcargs", {})
    used = given["deployed_world"].world if "deployed_world" in given else given.get("world")
    if report.when == "call" and report.failed and isinstance(used, World):
        report.sections.append(("last events of the world", used.recent(60)))
