"""Where a container's output goes: a log group that must be there before the container starts.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/specify-log-config.html
"""

from __future__ import annotations

from ministack.core.responses import get_account_id, get_region
from ministack.services import cloudwatch_logs

from ..answers import Wire


def missing_log_group(container: Wire) -> bool:
    """Whether the `awslogs` driver has a group to write to that does not exist, and that it may not make itself."""
    configuration = container.get("logConfiguration") or {}
    options = configuration.get("options") or {}
    if configuration.get("logDriver") != "awslogs" or options.get("awslogs-create-group") == "true":
        return False
    group = options.get("awslogs-group") or ""
    region = options.get("awslogs-region") or get_region()
    return cloudwatch_logs._log_groups.get_scoped(get_account_id(), region, group) is None
