"""A request that outlasts an invocation: the function invokes itself and goes on."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from sandbox.function import FUNCTION_NAME
from sandbox.scenario import OTHER_IMAGE, DeployedWorld

BUDGET_SECS = 3


@contextmanager
def short_invocations(deployed_world: DeployedWorld) -> Generator[None]:
    """For as long as the block lasts. Invocations that have begun are not cut short by it."""
    client = deployed_world.world.client("lambda")
    kept = client.get_function_configuration(FunctionName=FUNCTION_NAME)["Environment"]["Variables"]
    short = {**kept, "INVOCATION_BUDGET_SECS": str(BUDGET_SECS)}
    client.update_function_configuration(FunctionName=FUNCTION_NAME, Environment={"Variables": short})
    try:
        yield
    finally:
        client.update_function_configuration(FunctionName=FUNCTION_NAME, Environment={"Variables": kept})


def test_update_continues_over_several_invocations(deployed_world: DeployedWorld) -> None:
    pool = deployed_world.start("continued").up()
    job = pool.run(3 * BUDGET_SECS)
    began = deployed_world.sequence
    with short_invocations(deployed_world):
        pool.update(Image=OTHER_IMAGE)
    assert pool.job_ends(job) == "succeeded"
    continuations = [call for call in deployed_world.calls_since(began) if call["operation"] == "Invoke"]
    assert len(continuations) >= 2
    assert {call["status"] for call in continuations} == {202}
    assert pool.requests() == ["Create", "Update"]
    assert [response["what"] for response in pool.responses()] == ["SUCCESS", "SUCCESS"]
    pool.delete()
    assert pool.leftovers() == []
