"""What a container finds in its environment: plain variables, and secrets as the execution role would read them."""

from __future__ import annotations

import json

from ministack.services import secretsmanager, ssm

from ..handlers import Json


class MissingSecretError(Exception):
    """A `valueFrom` that leads nowhere, or no execution role to follow it."""


def environment(definition: Json) -> dict[str, str]:
    """The first container's variables, secrets resolved."""
    container = definition["containerDefinitions"][0]
    found = {item["name"]: item["value"] for item in container.get("environment") or []}
    for secret in container.get("secrets") or []:
        if not definition.get("executionRoleArn"):
            raise MissingSecretError("the task definition has no execution role")
        found[secret["name"]] = _resolve(secret["valueFrom"])
    return found


def check_repository_credentials(container: Json) -> None:
    """Private registry credentials must exist and be what ECS expects."""
    reference = (container.get("repositoryCredentials") or {}).get("credentialsParameter")
    if not reference:
        return
    try:
        value = json.loads(secretsmanager.resolve_secret_string(reference) or "null")
    except ValueError:
        value = None
    if not isinstance(value, dict) or not {"username", "password"} <= set(value):
        raise MissingSecretError(f"unable to retrieve registry credentials from {reference}")


def _resolve(reference: str) -> str:
    if ":secretsmanager:" in reference:
        parts = reference.split(":")
        value = secretsmanager.resolve_secret_string(":".join(parts[:7]))
        if value is not None and len(parts) > 7 and parts[7]:
            try:
                value = json.loads(value)[parts[7]]
            except (ValueError, KeyError, TypeError):
                value = None
    else:
        value = ssm.resolve_parameter_value(reference, decrypt=True)
    if value is None:
        raise MissingSecretError(f"unable to retrieve {reference}")
    return str(value)
