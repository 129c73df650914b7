"""An environment variable of Lambda's that MiniStack does not set: the name of the log group."""

from __future__ import annotations

from typing import Any

from ministack.services import lambda_svc


def install() -> None:
    """Adds the variable to what every function gets."""
    original = lambda_svc._runtime_env_vars

    def with_log_group(config: dict[str, Any]) -> dict[str, str]:
        given = config.get("LoggingConfig") or {}
        group = given.get("LogGroup") or f"/aws/lambda/{config.get('FunctionName', 'unknown')}"
        return {**original(config), "AWS_LAMBDA_LOG_GROUP_NAME": group}

    lambda_svc._runtime_env_vars = with_log_group
