"""Every question of a platform engineer has one place in the documents, which a search for its word finds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cfn.deploy import costs
from gates.documents import README, REPOSITORY, section

DEPLOYMENT = REPOSITORY / "cfn/README.md"
SIZING = REPOSITORY / "cfn/sizing.md"
EXAMPLES = REPOSITORY / "cfn/examples.md"
TROUBLESHOOTING = REPOSITORY / ".github/TROUBLESHOOTING.md"
DOCUMENTS = (README, DEPLOYMENT, SIZING, EXAMPLES, TROUBLESHOOTING)
# The document and the section of the answer, and the word that a reader searches for.
ANSWERS = [
    (README, "Quick start", "create a fine-grained"),
    (DEPLOYMENT, "GitHub permissions", "who must own the token"),
    (DEPLOYMENT, "GitHub permissions", "line break"),
    (DEPLOYMENT, "Network", "default VPC"),
    (DEPLOYMENT, "Network", "aws ec2 describe-subnets"),
    (DEPLOYMENT, "Network", "public address"),
    (DEPLOYMENT, "Network", "NAT"),
    (README, "Quick start", "AWS_REGION"),
    (README, "Quick start", "AWS_PROFILE"),
    (README, "Quick start", "AWS CLI"),
    (README, "Quick start", "First job"),
    (README, "Quick start", "two runners"),
    (README, "Quick start", "five minutes"),
    (DEPLOYMENT, "How long it takes", "about"),
    (EXAMPLES, "CDK, SAM and Terraform", "CDK"),
    (EXAMPLES, "CDK, SAM and Terraform", "SAM"),
    (EXAMPLES, "CDK, SAM and Terraform", "Terraform"),
    (SIZING, "Cost", "Idle"),
    (SIZING, "Cost", "NAT"),
    (SIZING, "Cost", "listener"),
    (DEPLOYMENT, "As many runners as jobs", "How long a job waits"),
    (SIZING, "Runners per instance", "runner-hour"),
    (SIZING, "Runners per instance", "floor("),
    (SIZING, "From 1 to 500 runners", "500"),
    (SIZING, "GPU", "Gpus"),
    (SIZING, "arm64", "Graviton"),
    (SIZING, "Private ECR", "role"),
    (SIZING, "Docker Hub", "pull-through"),
    (SIZING, "Proxies", "HTTPS_PROXY"),
    (SIZING, "IPv6", "IPv4"),
    (SIZING, "GovCloud and China", "China"),
    (SIZING, "A shell by Session Manager", "SessionManager=true"),
    (SIZING, "Job hooks", "ACTIONS_RUNNER_HOOK_JOB_STARTED"),
    (SIZING, "Fresh images and a count by the clock", "schedule.yaml"),
    (SIZING, "Fresh images and a count by the clock", "Application Auto Scaling"),
    (SIZING, "Warm instances", "WarmInstances"),
    (TROUBLESHOOTING, "Jobs that wait", "no listener is at work"),
    (TROUBLESHOOTING, "Alarms", "ListenerMissing"),
    (TROUBLESHOOTING, "Alarms", "JobsNotStarted"),
]
# The beginning of an answer, and its section, or none before the first. Nothing else answers the same question.
ONLY_ANSWERS: dict[str, tuple[Path, str | None]] = {
    "Which of the two.": (DEPLOYMENT, "As many runners as jobs"),
    "`runs-on`.": (DEPLOYMENT, "As many runners as jobs"),
    "Queued jobs of a deleted pool": (DEPLOYMENT, "As many runners as jobs"),
    "If the function does not run": (DEPLOYMENT, "As many runners as jobs"),
    "With `MaxRunners`": (DEPLOYMENT, "GitHub permissions"),
    "Owner.": (DEPLOYMENT, "GitHub permissions"),
    "Without a line break.": (DEPLOYMENT, "GitHub permissions"),
    "Two subnets": (DEPLOYMENT, "Network"),
    "Without a default VPC": (DEPLOYMENT, "Network"),
    "A stack whose first deployment failed": (TROUBLESHOOTING, None),
    "Two instances at first.": (SIZING, "Cost"),
    "Idle.": (SIZING, "Cost"),
    "NAT.": (SIZING, "Cost"),
    "GovCloud (US).": (SIZING, "GovCloud and China"),
    "China.": (SIZING, "GovCloud and China"),
}


@pytest.mark.parametrize(("document", "heading", "word"), ANSWERS, ids=lambda value: str(value).rsplit("/", 1)[-1])
def test_question_is_answered_in_its_section(document: Path, heading: str, word: str) -> None:
    assert word.lower() in section(document, heading).lower()


@pytest.mark.parametrize(
    "heading", sorted({heading for _, heading, _ in ANSWERS if heading not in ("Cost", "Network")})
)
def test_heading_of_an_answer_is_the_only_one(heading: str) -> None:
    documents = "\n".join(path.read_text() for path in DOCUMENTS)
    assert len(re.findall(rf"^#+ {re.escape(heading)}$", documents, re.MULTILINE)) == 1


@pytest.mark.parametrize("lead", ONLY_ANSWERS)
def test_answer_stands_in_one_place(lead: str) -> None:
    found = [path for path in DOCUMENTS for _ in range(path.read_text().count(f"**{lead}**"))]
    document, heading = ONLY_ANSWERS[lead]
    assert found == [document]
    assert heading is None or f"**{lead}**" in section(document, heading)


def test_prices_of_the_network_are_those_of_the_table() -> None:
    network = section(DEPLOYMENT, "Network")
    for amount in (costs.PUBLIC_ADDRESS_HOUR * costs.HOURS, costs.NAT_HOUR * costs.HOURS):
        assert costs.usd(amount) in network
    assert f"${costs.NAT_GB} per GB" in network
