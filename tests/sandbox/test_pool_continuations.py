"""A request that outlasts an invocation: the function invokes itself and goes on."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from sandbox.function import FUNCTION_NAME
from sandbox.scenario import OTHER_IMAGE, Stage

BUDGET_SECS = 3


@contextmanager
def short_invocations(stage: Stage) -> Generator[None]:
    """For as long as the block lasts. Invocations that have begun are not cut short by it."""
    client = stage.world.client("lambda")
    kept = client.get_function_configuration(FunctionName=FUNCTION_NAME)["Environment"]["Variables"]
    short = {**kept, "INVOCATION_BUDGET_SECS": str(BUDGET_SECS)}
    client.update_function_configuration(FunctionName=FUNCTION_NAME, Environment={"Variables": short})
    try:
        yield
    finally:
        client.update_function_configuration(FunctionName=FUNCTION_NAME, Environment={"Variables": kept})


def test_an_update_waits_for_a_job_through_several_invocations(stage: Stage) -> None:
    pool = stage.start("hops").up()
    job = pool.run(3 * BUDGET_SECS)
    began = stage.sequence
    with short_invocations(stage):
        pool.update(Image=OTHER_IMAGE)
    assert pool.job_ends(job) == "succeeded"
    hops = [call for call in stage.calls_since(began) if call["operation"] == "Invoke"]
    assert len(hops) >= 2
    assert {call["status"] for call in hops} == {202}
    assert pool.requests() == ["Create", "Update"]
    assert [answer["what"] for answer in pool.answers()] == ["SUCCESS", "SUCCESS"]
    pool.delete()
    assert pool.leftovers() == []
