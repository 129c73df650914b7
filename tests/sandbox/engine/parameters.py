"""Parameters that MiniStack's Systems Manager does not have: Secrets Manager references and the ECS machine images.

https://docs.aws.amazon.com/systems-manager/latest/userguide/integration-ps-secretsmanager.html
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/retrieve-ecs-optimized_AMI.html
"""

from __future__ import annotations

import time
from typing import Any

from ministack.core.responses import error_response_json, get_account_id, get_region
from ministack.services import secretsmanager, ssm

from .handlers import Json

SECRET_PREFIX = "/aws/reference/secretsmanager/"
_IMAGES = "/aws/service/ecs/optimized-ami/amazon-linux-2023"
MACHINE_IMAGES = {
    f"{_IMAGES}/recommended/image_id": "ami-0ec5a11d64000a1b2",
    f"{_IMAGES}/arm64/recommended/image_id": "ami-0ec5a11d64000a2c3",
}


def install() -> None:
    """Adds both to MiniStack's look-ups."""
    ssm._PUBLIC_AMI_PARAMETERS.update(MACHINE_IMAGES)
    select = ssm._select_parameter

    def select_with_secrets(name: str) -> tuple[Json | None, str | None]:
        if name and SECRET_PREFIX in name:
            found = _secret(name[name.index(SECRET_PREFIX) :])
            return found, None if found else "ParameterNotFound"
        return select(name)

    ssm._select_parameter = select_with_secrets
    ssm._get_parameter = _needs_decryption(ssm._get_parameter)


def parameter_arn(reference: str, region: str, account: str) -> str:
    """What IAM is asked for: no version or label, and of a path's slashes one. A call may name the ARN itself.

    https://docs.aws.amazon.com/service-authorization/latest/reference/list_awssystemsmanager.html
    """
    base, _ = ssm._split_selector(reference)
    if base.startswith("arn:"):
        return base
    return f"arn:aws:ssm:{region}:{account}:parameter/{base.removeprefix('/')}"


def _secret(path: str) -> Json | None:
    value = secretsmanager.resolve_secret_string(path.removeprefix(SECRET_PREFIX))
    if value is None:
        return None
    return {
        "Name": path,
        "Type": "SecureString",
        "Value": value,
        "OriginalValue": value,
        "Version": 0,
        "LastModifiedDate": time.time(),
        "ARN": f"arn:aws:ssm:{get_region()}:{get_account_id()}:parameter{path}",
        "DataType": "text",
    }


def _needs_decryption(get: Any) -> Any:
    def run(data: Json) -> Any:
        if SECRET_PREFIX in (data.get("Name") or "") and not data.get("WithDecryption"):
            return error_response_json(
                "ValidationException",
                "WithDecryption flag must be True for retrieving a Secret Manager secret.",
            )
        return get(data)

    return run
