"""How long things take in this world, and where its limits are.

Every duration is in seconds of sandbox time. `SANDBOX_TIME_SCALE` stretches (above 1) or squeezes (below 1) all of
them together; each can also be set by itself: `SANDBOX_INSTANCE_LAUNCH=5`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Durations:
    """The pace of the world. The order of magnitude between them is AWS's, the absolute values are not."""

    tick: float = 0.1
    image_pull: float = 0.5
    """PENDING to RUNNING."""
    health_delay: float = 0.4
    """RUNNING to counted as healthy: 40 s on AWS for a task without a health check."""
    stop_grace: float = 0.4
    """SIGTERM to the end of the container."""
    instance_launch: float = 0.8
    """Launched to InService."""
    launch_hook: float = 1.5
    """How long a launch hook holds back a machine on which nobody completes its action: ten minutes in a pool."""
    warm_start: float = 0.4
    """Started out of the warm pool to InService."""
    agent_start: float = 0.5
    """InService to registered with its cluster."""
    instance_terminate: float = 0.6
    scaling_evaluation: float = 0.4
    """Managed scaling evaluates every minute on AWS."""
    scale_in_after: float = 6.0
    """How long capacity must stay idle: 15 data points of a minute on AWS."""
    launch_retry: float = 1.5
    association_busy: float = 1.2
    """Cluster attachments in UPDATE_IN_PROGRESS."""
    provider_update: float = 0.4
    provider_create: float = 0.3
    """PROVISIONING to ACTIVE."""
    provisioning_limit: float = 10.0
    """How long a task waits for capacity before it is stopped: ten minutes on AWS, or up to thirty.
    https://aws.amazon.com/blogs/containers/deep-dive-on-amazon-ecs-cluster-auto-scaling/"""
    stopped_task_kept: float = 600.0
    """How long a stopped task is still described: an hour on AWS. Longer than the two minutes for which a listener
    takes a task that it has started for one that ECS does not show yet, which are not scaled."""
    inactive_instance_kept: float = 10.0
    """The same of a deregistered container instance."""
    service_drained: float = 0.3
    group_delete: float = 0.5
    restart_backoff: float = 0.5
    """First pause after a task that never reached RUNNING; doubles, up to twenty times this."""
    runner_configure: float = 0.3
    runner_connect: float = 0.3
    runner_poll: float = 0.7
    """How long a listener takes to notice that its registration is gone: a long poll is 50 s."""
    job_pickup: float = 0.15
    """Dispatched to acquired: only then does GitHub call the runner busy."""
    offline_after: float = 1.0
    """A listener that died without a word is still online for a while."""
    job_lease: float = 3.0
    """A runner that died with its job still counts as busy for a while."""
    message_wait: float = 5.0
    """How long a poll of a scale set's queue stays open without a message: 50 s on GitHub."""
    session_silence: float = 50.0
    """How long the session of a scale set lasts without a poll: the same on GitHub, since a listener's pauses are real.
    https://github.com/actions/actions-runner-controller/issues/4285"""
    queue_token_life: float = 3000.0
    admin_token_life: float = 3600.0
    assignment_lapse: float = 300.0
    """How long a job stays assigned to a scale set without a runner.
    https://github.com/actions/scaleset#job-reassignment"""
    scale_set_kept: float = 604800.0
    """How long a scale set lasts that nobody polls for.
    https://github.com/actions/actions-runner-controller/blob/master/docs/adrs/2022-10-27-runnerscaleset-lifetime.md"""
    lambda_retry: float = 1.0
    """First pause before Lambda delivers an event again that ended in an error: a minute on AWS."""
    stream_retry: float = 0.5
    """The pause before Lambda tries a batch of a stream again."""
    minute: float = 0.0
    """How often a rule with `rate(1 minute)` fires. Never at 0: a scenario that counts calls has no others then, and
    one that needs a tick sends it."""
    registration_wait: float = 300.0
    """How long a container waits for its registration: ten minutes on AWS. Longer than the minute after which the
    function takes the claim of a killed invocation over, which is not scaled."""
    registration_poll: float = 0.1
    """Between two looks of a container for its answer."""
    registration_retry: float = 1.0
    """After a refusal, and without an answer: half a minute on AWS."""


@dataclass(frozen=True)
class Settings:
    """Everything that can be turned from outside the process."""

    durations: Durations
    region: str = "us-east-1"
    account: str = "000000000000"
    points_per_minute: int = 900
    """GitHub's secondary rate limit: a GET costs 1 point, any other method 5."""
    hourly_requests: int = 5000
    response_url_secret: str = "sandbox"
    """Goes into the signature of every response URL, so that a test can search logs for it."""

    @property
    def place(self) -> tuple[str, str]:
        """Region and account."""
        return self.region, self.account

    @classmethod
    def from_environment(cls) -> Settings:
        """Reads `SANDBOX_*`; anything unset keeps its default."""
        scale = float(os.environ.get("SANDBOX_TIME_SCALE", "1"))
        pace = {}
        for field in fields(Durations):
            value = float(os.environ.get(f"SANDBOX_{field.name.upper()}", field.default))  # type: ignore[arg-type]
            pace[field.name] = value if field.name == "tick" else value * scale
        return cls(
            durations=Durations(**pace),
            region=os.environ.get("SANDBOX_REGION", cls.region),
            points_per_minute=int(os.environ.get("SANDBOX_POINTS_PER_MINUTE", cls.points_per_minute)),
            hourly_requests=int(os.environ.get("SANDBOX_HOURLY_REQUESTS", cls.hourly_requests)),
            response_url_secret=os.environ.get("SANDBOX_RESPONSE_URL_SECRET", cls.response_url_secret),
        )
