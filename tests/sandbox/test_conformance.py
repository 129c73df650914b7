"""The sandbox's ECS, Auto Scaling and GitHub against the vectors of tests/conformance, as the simulation's are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sandbox.conformance_driver import Driver
from sandbox.ecs_pool import EcsPool
from sandbox.world import World

FOLDER = Path(__file__).resolve().parents[1] / "conformance"
VECTORS: list[dict[str, Any]] = [
    vector for file in sorted(FOLDER.glob("*.json")) for vector in json.loads(file.read_text())
]
MODELLED = [vector for vector in VECTORS if "sandbox" not in vector.get("not_modelled", {})]
SOURCES = (
    "https://docs.aws.amazon.com/",
    "https://docs.github.com/",
    "https://github.com/actions/",
    "https://github.com/rhobuild/runpool/",
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world in which a poll without a message ends soon, and nothing expires that a vector does not let expire."""
    pace: dict[str, Any] = {
        "time_scale": 0.3,
        "message_wait": 0.5,
        "session_silence": 10_000,
        "assignment_lapse": 10_000,
        "queue_token_life": 100_000,
        "launch_hook": 1000,
        "provisioning_limit": 1000,
    }
    with World.start(tmp_path_factory.mktemp("conformance"), **pace) as started:
        started.prepare()
        yield started


@pytest.fixture
def faults(world: World) -> Iterator[None]:
    """Those that a vector's state sets end with it."""
    with world.faults():
        yield


def _take(world: World, driver: Driver, step: dict[str, Any]) -> None:
    if "call" in step:
        _call(driver, step["call"], dict(step.get("with", {})), step["expect"])
    if "elapse" in step:
        driver.scale_sets.elapse(step["elapse"])
    for name, value in step.get("now", {}).items():
        assert driver.observe(name) == value, name
    for name, value in step.get("eventually", {}).items():
        world.wait_for(
            f"{name} {value}", lambda name=name, value=value: (driver.observe(name) == value) or None, timeout=60
        )


def _call(driver: Driver, call: str, parameters: dict[str, Any], expected: Any) -> None:
    method = driver.method(call)
    if isinstance(expected, dict) and "error" in expected:
        with pytest.raises(ClientError) as raised:
            method(**parameters)
        error = raised.value.response["Error"]
        assert error["Code"] == expected["error"], error
        assert expected["message"] in error["Message"], error
        return
    result = method(**parameters)
    assert expected == "ok" or result == expected, (call, result)


@pytest.mark.usefixtures("faults")
@pytest.mark.parametrize("vector", MODELLED, ids=lambda vector: vector["name"])
def test_conformance(world: World, pool: EcsPool, vector: dict[str, Any]) -> None:
    driver = Driver(world, pool, vector["state"])
    for step in vector["steps"]:
        _take(world, driver, step)


def test_every_vector_has_a_source_and_a_name_of_its_own() -> None:
    names = [vector["name"] for vector in VECTORS]
    assert len(names) == len(set(names)) >= 50
    for vector in VECTORS:
        assert vector["source"]
        assert all(url.startswith(SOURCES) for url in vector["source"]), vector["source"]
