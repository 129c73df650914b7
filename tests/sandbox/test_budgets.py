"""What a request may ask of AWS and GitHub. What an Update without a change may is in test_pool_lifecycle.py."""

from __future__ import annotations

from itertools import pairwise

from sandbox.scenario import DeployedWorld, Entry

# One poll while runners are waited for: the service, its tasks (which are meant to run, and what all known ones are),
# and who works for the resource.
AWS_CALLS_MAX = 4
# Few runners are one page.
GITHUB_CALLS_MAX = 1
OBSERVATIONS = 6


def test_drain_poll_costs_few_calls(deployed_world: DeployedWorld) -> None:
    pool = deployed_world.start("polling").up()
    job = pool.run(6, pool.online()[0]["name"])
    before = deployed_world.sequence
    pool.stack.delete()

    def observations() -> list[list[Entry]]:
        """The calls between two lists of runners, of polls that found nothing to do."""
        calls = deployed_world.calls_since(before)
        lists = [
            at for at, call in enumerate(calls) if call["service"] == "github" and call["operation"].startswith("GET")
        ]
        between = [calls[start:end] for start, end in pairwise(lists)]
        return [observation for observation in between if not any(call["write"] for call in observation)]

    found = deployed_world.world.wait_for("some polls", lambda: len(found := observations()) >= OBSERVATIONS and found)
    assert pool.world.job(job)["state"] == "running"
    for observation in found[1:]:
        of_github = [call for call in observation if call["service"] == "github"]
        names = [f"{call['service']} {call['operation']}" for call in observation]
        assert len(of_github) <= GITHUB_CALLS_MAX, names
        assert len(observation) - len(of_github) <= AWS_CALLS_MAX, names
    pool.stack.settled().expect("DELETE_COMPLETE")
    assert pool.world.job(job)["state"] == "succeeded"
