"""What a request may ask of AWS and GitHub. What an Update without a change may is in test_pool_lifecycle.py."""

from __future__ import annotations

from itertools import pairwise

from sandbox.scenario import Entry, Stage

# A look at runners that are waited for: the service, its tasks (which are meant to run, and what all known ones are),
# and who works for the resource.
AWS_CALLS_OF_A_LOOK = 4
# Few runners are one page.
GITHUB_CALLS_OF_A_LOOK = 1
LOOKS = 6


def test_a_look_while_jobs_are_waited_for_costs_few_calls(stage: Stage) -> None:
    pool = stage.start("looking").up()
    job = pool.run(6, pool.online()[0]["name"])
    before = stage.sequence
    pool.stack.delete()

    def looks() -> list[list[Entry]]:
        """The calls between two lists of runners, of looks that found nothing to do."""
        calls = stage.calls_since(before)
        lists = [
            at for at, call in enumerate(calls) if call["service"] == "github" and call["operation"].startswith("GET")
        ]
        between = [calls[start:end] for start, end in pairwise(lists)]
        return [look for look in between if not any(call["write"] for call in look)]

    found = stage.world.wait_for("some looks", lambda: len(seen := looks()) >= LOOKS and seen)
    assert pool.world.job(job)["state"] == "running"
    for look in found[1:]:
        of_github = [call for call in look if call["service"] == "github"]
        names = [f"{call['service']} {call['operation']}" for call in look]
        assert len(of_github) <= GITHUB_CALLS_OF_A_LOOK, names
        assert len(look) - len(of_github) <= AWS_CALLS_OF_A_LOOK, names
    pool.stack.settled().expect("DELETE_COMPLETE")
    assert pool.world.job(job)["state"] == "succeeded"
