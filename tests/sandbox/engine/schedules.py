"""EventBridge's scheduled rules at the pace of this world.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-rule-schedule.html
"""

from __future__ import annotations

from collections.abc import Callable

from ministack.services import eventbridge

from .core import Core

SECS = 60.0
# Of MiniStack's looks for what is due there are so many in each of our minutes.
LOOKS = 5


def install(core: Core) -> None:
    """Sets how long a minute is, or keeps rules from firing."""
    minute = core.pace.minute
    if not minute:
        eventbridge.start_scheduler = lambda: None
        return
    of_expression: Callable[[str], int | None] = eventbridge._parse_rate_seconds

    def scaled(expression: str) -> float | None:
        secs = of_expression(expression)
        return None if secs is None else secs * minute / SECS

    eventbridge._parse_rate_seconds = scaled
    eventbridge._SCHEDULER_TICK_INTERVAL = minute / LOOKS
